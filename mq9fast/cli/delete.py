"""`mq9fast delete`: delete messages of a mailbox."""

import sys
from typing import Annotated

import typer

from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.errors import CliError
from mq9fast.cli.progress import progress
from mq9fast.cli.status import Status
from mq9fast.client import MessageNotFound


@client_command()
async def command(
    mq9: Mq9,
    output: Output,
    address: Annotated[str, typer.Argument(help="Address of the mailbox.")],
    msg_ids: Annotated[list[int] | None, typer.Argument(help="Numbers of the messages.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All messages that are there now.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")] = False,
) -> None:
    """Delete messages. It ends with status 1 if one of those named is not there."""
    if everything == bool(msg_ids):
        raise CliError("delete: give the numbers of messages, or --all", status=Status.USAGE)
    numbers = msg_ids or []
    if everything:
        numbers = [message.msg_id async for message in mq9.list(address, meta_only=True)]
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Delete {len(numbers)} messages of {address}?", abort=True)
    missing = []
    for msg_id in progress(numbers, "messages deleted", len(numbers)):
        deleted = await mq9.delete(address, msg_id)
        if output.as_json or not everything:
            output.row({"msg_id": msg_id, "deleted": deleted})
        if not deleted and not everything:
            missing.append(str(msg_id))
    if missing:
        raise MessageNotFound(f"The mailbox {address} has no message {', '.join(missing)}.")
