"""`mq9fast top`: mailboxes and their traffic, again and again."""

import asyncio
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import typer

from mq9fast.cli import values
from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.errors import CliError
from mq9fast.cli.status import Status

COLUMNS = ("mail_address", "messages", "change_per_s", "bytes", "readers", "ttl")
HTTP_SECONDS = 5


@client_command(until_interrupted=True)
async def command(
    mq9: Mq9,
    output: Output,
    addresses: Annotated[list[str] | None, typer.Argument(help="Mailboxes; else the public ones.")] = None,
    interval: Annotated[
        float, typer.Option(parser=values.seconds, metavar="TIME", help="Time between two looks.")
    ] = 2.0,
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="End after so many looks.")] = 0,
    monitor: Annotated[
        str,
        typer.Option(metavar="URL", help="Read the monitoring port instead, such as http://127.0.0.1:8222."),
    ] = "",
) -> None:
    """Show mailboxes, how full they are, and how that changes, until Ctrl-C. The fullest is on top."""
    look = _Look(mq9, addresses or [], monitor)
    if output.on_terminal and not output.as_json:
        await _live(look, interval, count)
        return
    while True:
        output.table(COLUMNS, await look.rows())
        count -= 1
        if count == 0:
            return
        await asyncio.sleep(interval)


class _Look:
    """Looks at mailboxes, and remembers what it saw last, for the changes."""

    def __init__(self, mq9: Mq9, addresses: list[str], monitor: str) -> None:
        self._mq9 = mq9
        self._addresses = addresses
        self._monitor = monitor
        self._last: dict[str, int] = {}
        self._looked = time.monotonic()

    async def rows(self) -> list[dict[str, Any]]:
        rows = await (self._of_monitor() if self._monitor else self._of_list())
        now = time.monotonic()
        seconds, self._looked = max(now - self._looked, 0.001), now
        for row in rows:
            before = self._last.get(row["mail_address"], row["messages"])
            row["change_per_s"] = round((row["messages"] - before) / seconds, 1)
        self._last = {row["mail_address"]: row["messages"] for row in rows}
        return sorted(rows, key=lambda row: (-row["messages"], row["mail_address"]))

    async def _of_list(self) -> list[dict[str, Any]]:
        if self._addresses:
            infos = [(address, await self._mq9.info(address)) for address in self._addresses]
            return [
                {
                    "mail_address": address,
                    "messages": info.total,
                    "bytes": info.bytes,
                    "readers": info.readers + sum(group.members for group in info.groups),
                    "ttl": info.ttl,
                }
                for address, info in infos
            ]
        return [
            {"mail_address": each.mail_address, "messages": each.total, "ttl": each.ttl}
            async for each in self._mq9.find()
        ]

    async def _of_monitor(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await asyncio.to_thread(_read_page, self._monitor, cursor)
            rows += map(_monitored_row, page["mailboxes"])
            cursor = page.get("next", "")
            if not cursor:
                return [row for row in rows if not self._addresses or row["mail_address"] in self._addresses]


def _read_page(monitor: str, cursor: str) -> dict[str, Any]:
    url = f"{monitor.rstrip('/')}/mailboxz?" + urllib.parse.urlencode({"cursor": cursor} if cursor else {})
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise CliError(f"'{monitor}' is no URL such as http://127.0.0.1:8222", status=Status.USAGE)
    try:
        with urllib.request.urlopen(url, timeout=HTTP_SECONDS) as answer:  # noqa: S310
            page: dict[str, Any] = msgspec.json.decode(answer.read())
    except (OSError, msgspec.DecodeError) as error:
        hint = "start the broker with --monitor-port, and give that port"
        raise CliError(
            f"the monitoring port cannot be read: {error}", hint, status=Status.NO_BROKER
        ) from None
    return page


def _monitored_row(mailbox: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "mail_address": mailbox["address"],
        "messages": sum(mailbox["messages"].values()),
        "bytes": mailbox["bytes"],
        "readers": mailbox["subscribers"],
        "ttl": mailbox["ttl"],
    }


async def _live(look: _Look, interval: float, count: int) -> None:
    from rich.live import Live

    with Live(auto_refresh=False, screen=count == 0) as live:
        while True:
            live.update(_table(await look.rows()), refresh=True)
            count -= 1
            if count == 0:
                return
            await asyncio.sleep(interval)


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), justify="left" if column == "mail_address" else "right")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in COLUMNS))
    return table
