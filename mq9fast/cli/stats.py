"""`mq9fast stats`: what is known of mailboxes."""

from typing import Annotated, Any

import msgspec
import typer

from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.messages import age
from mq9fast.client import MailboxInfo, PublicMailbox


@client_command()
async def command(
    mq9: Mq9,
    output: Output,
    addresses: Annotated[list[str] | None, typer.Argument(help="Mailboxes; else the public ones.")] = None,
) -> None:
    """Show how many messages mailboxes hold, who reads them, and their options."""
    names = addresses or [each.mail_address async for each in mq9.find()]
    infos = [(name, await mq9.info(name)) for name in names]
    if output.as_json:
        for name, info in infos:
            output.row({"mail_address": name, **msgspec.to_builtins(info)})
        return
    columns = ("mail_address", "messages", "bytes", "oldest", "readers", "groups", "expires", "options")
    output.table(columns, [_row(name, info) for name, info in infos])


def _row(name: str, info: MailboxInfo) -> dict[str, Any]:
    groups = ", ".join(
        f"{each.name}: {each.members} members, {each.in_flight} in flight, {each.waiting} waiting"
        for each in info.groups
    )
    options = ", ".join(f"{option}={value}" for option, value in info.options.items())
    expires = "" if info.expires_at is None else f"after {info.ttl}s"
    return {
        "mail_address": name,
        "messages": info.total,
        "bytes": info.bytes,
        "oldest": age(info.oldest),
        "readers": info.readers,
        "groups": groups,
        "expires": expires,
        "options": options,
    }


def board_row(mailbox: PublicMailbox) -> dict[str, Any]:
    """A row for a mailbox on the bulletin board."""
    return {
        "mail_address": mailbox.mail_address,
        "total": mailbox.total,
        "ttl": mailbox.ttl,
        "expires_at": mailbox.expires_at,
        "create_time": mailbox.create_time,
        "desc": mailbox.desc,
    }
