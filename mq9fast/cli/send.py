"""`mq9fast send`: store messages in a mailbox."""

import sys
from typing import Annotated, Any, Literal

import typer

from mq9fast.cli import values
from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.progress import progress
from mq9fast.client import Sent


@client_command()
async def command(
    mq9: Mq9,
    output: Output,
    to: Annotated[str, typer.Argument(help="Address of the mailbox.")],
    body: Annotated[str, typer.Argument(help="The message; '-' reads it from standard input.")] = "-",
    priority: Annotated[
        Literal["normal", "urgent", "critical"], typer.Option("--priority", "-p", help="How urgent it is.")
    ] = "normal",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="'Name: value'.")] = None,
    delay: Annotated[str, typer.Option(metavar="TIME", help="Deliver it after, or at, this time.")] = "",
    ttl: Annotated[
        float | None, typer.Option(parser=values.seconds, metavar="TIME", help="Life of the message.")
    ] = None,
    key: Annotated[str, typer.Option(help="Replace the message with this key.")] = "",
    msg_id: Annotated[str, typer.Option("--id", help="Store a message with this id only once.")] = "",
    reply_to: Annotated[str, typer.Option(help="Mailbox for the answer.")] = "",
    lines: Annotated[bool, typer.Option("--lines", help="Each line of standard input is a message.")] = False,
) -> None:
    """Store a message in a mailbox, and print its number once it is durable."""
    options = values.given(
        priority=priority,
        headers=values.headers(header),
        delay=values.due(delay) if delay else None,
        ttl=ttl,
        key=key,
        id=msg_id,
        reply_to=reply_to,
    )
    if lines:
        await _send_lines(mq9, output, to, options)
    else:
        _show(output, await mq9.send(to, values.body(body), **options))


async def _send_lines(mq9: Mq9, output: Output, to: str, options: dict[str, Any]) -> None:
    given_id = options.pop("id", None)
    for number, line in progress(enumerate(sys.stdin.buffer), "messages sent"):
        identified: dict[str, Any] = {} if given_id is None else {"id": f"{given_id}-{number}"}
        _show(output, await mq9.send(to, line.rstrip(b"\r\n"), **options, **identified))


def _show(output: Output, sent: Sent) -> None:
    fields = ("msg_id", "duplicate", "deliver_at", "expires_at")
    if output.as_json:
        output.row({name: value for name in fields if (value := getattr(sent, name)) not in (None, False)})
    output.text(str(sent.msg_id))
