"""`mq9fast ask`: send a question, and wait for its answer."""

from typing import Annotated, Any, Literal

import typer

from mq9fast.cli import values
from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.client import Answer


@client_command()
async def command(
    mq9: Mq9,
    output: Output,
    to: Annotated[str, typer.Argument(help="Address of the mailbox; or a ticket, with --ticket.")],
    body: Annotated[str, typer.Argument(help="The question; '-' reads it from standard input.")] = "-",
    wait: Annotated[
        float | None,
        typer.Option(parser=values.seconds, metavar="TIME", help="How long to wait; else for ever."),
    ] = None,
    priority: Annotated[
        Literal["normal", "urgent", "critical"], typer.Option("--priority", "-p", help="How urgent it is.")
    ] = "normal",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="'Name: value'.")] = None,
    ttl: Annotated[
        float | None, typer.Option(parser=values.seconds, metavar="TIME", help="Life of the question.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print a ticket instead of waiting.")] = False,
    ticket: Annotated[
        bool, typer.Option("--ticket", help="Wait for the answer to an earlier question.")
    ] = False,
) -> None:
    """Send a question, and print its answer.

    The other side need not be there. If the answer is late, the ticket that is printed gets it.
    """
    if ticket:
        async with await mq9.answer(to, of=bytes, timeout=wait) as answer:
            _show(output, answer)
        return
    options = values.given(priority=priority, headers=values.headers(header), ttl=ttl)
    if no_wait:
        sent = await mq9.send_question(to, values.body(body), **options)
        output.row({"ticket": str(sent)})
    else:
        _show(output, await mq9.ask(to, values.body(body), of=bytes, timeout=wait, **options))


def _show(output: Output, answer: Answer[Any]) -> None:
    if output.as_json:
        output.row({"ticket": str(answer.ticket), "from": answer.by, "payload": answer.text})
    output.text(answer.text)
