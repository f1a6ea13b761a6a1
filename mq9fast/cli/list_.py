"""`mq9fast list`: the messages of a mailbox, or the public mailboxes."""

from typing import Annotated

import typer

from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.messages import COLUMNS, listed_row
from mq9fast.cli.stats import board_row


@client_command()
async def command(
    mq9: Mq9,
    output: Output,
    address: Annotated[str, typer.Argument(help="The mailbox; without it, the public mailboxes.")] = "",
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    meta: Annotated[bool, typer.Option("--meta", help="Without the messages themselves.")] = False,
    prefix: Annotated[str, typer.Option(help="Public mailboxes that begin with this.")] = "",
    need: Annotated[str, typer.Option(help="Public mailboxes with these words.")] = "",
) -> None:
    """List the messages of a mailbox, most urgent first. It changes nothing.

    Without an address, list the public mailboxes.
    """
    if address:
        found = mq9.list(address, newest_first=newest, meta_only=meta, limit=limit)
        rows = [listed_row(each, as_json=output.as_json) async for each in found]
        output.table(COLUMNS, rows)
        return
    boards = [board_row(each) async for each in mq9.find(prefix, need=need)]
    output.table(("mail_address", "total", "ttl", "desc"), boards[:limit])
