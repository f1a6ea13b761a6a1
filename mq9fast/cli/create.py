"""`mq9fast create`: create a mailbox, renew it, or change its options."""

from typing import Annotated

import typer

from mq9fast.cli import values
from mq9fast.cli.client_command import Mq9, Output, client_command


@client_command()
async def command(
    mq9: Mq9,
    output: Output,
    address: Annotated[str, typer.Argument(help="The address; generated if it is missing.")] = "",
    prefix: Annotated[str, typer.Option(help="First tokens of a generated address.")] = "",
    ttl: Annotated[
        int | None,
        typer.Option(parser=values.whole_seconds, metavar="TIME", help="Life after the last write."),
    ] = None,
    public: Annotated[bool | None, typer.Option(help="On the bulletin board, or not.")] = None,
    desc: Annotated[str, typer.Option(help="What it is for.")] = "",
    max_messages: Annotated[int | None, typer.Option(help="How many messages it holds.")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="How many bytes it holds.")] = None,
    discard: Annotated[str, typer.Option(help="Past that: refuse 'new' ones, or drop 'old' ones.")] = "",
    max_age: Annotated[
        float | None, typer.Option(parser=values.seconds, metavar="TIME", help="Life of its messages.")
    ] = None,
    ack_wait: Annotated[
        float | None,
        typer.Option(parser=values.seconds, metavar="TIME", help="How long a worker may hold a message."),
    ] = None,
    max_deliver: Annotated[int | None, typer.Option(help="Failures before it is a dead letter.")] = None,
    max_in_flight: Annotated[int | None, typer.Option(help="Messages that one worker may hold.")] = None,
    backoff: Annotated[
        list[float] | None,
        typer.Option(parser=values.seconds, metavar="TIME", help="Wait after a failure; may be given often."),
    ] = None,
    dead_letter: Annotated[str | None, typer.Option(help="Mailbox for dead letters.")] = None,
    dead_letter_expired: Annotated[bool | None, typer.Option(help="Expired ones too.")] = None,
    duplicate_window: Annotated[
        float | None, typer.Option(parser=values.seconds, metavar="TIME", help="How long ids are remembered.")
    ] = None,
    receipts_to: Annotated[str | None, typer.Option(help="Mailbox for receipts.")] = None,
) -> None:
    """Create a mailbox, and print its address.

    If it exists, its life is renewed, and what is given is changed.
    """
    options = values.given(
        prefix=prefix,
        ttl=ttl,
        public=public,
        desc=desc,
        max_messages=max_messages,
        max_bytes=max_bytes,
        discard=discard,
        max_age=max_age,
        ack_wait=ack_wait,
        max_deliver=max_deliver,
        max_in_flight=max_in_flight,
        backoff=backoff,
        dead_letter_expired=dead_letter_expired,
        duplicate_window=duplicate_window,
    )
    # "" removes these two.
    removable = {"dead_letter": dead_letter, "receipts_to": receipts_to}
    options |= {name: value for name, value in removable.items() if value is not None}
    created = await mq9.create(address or None, **options)
    if output.as_json:
        output.row(
            {"mail_address": created.mail_address, "is_new": created.is_new, "options": created.options}
        )
    output.text(created.mail_address)
