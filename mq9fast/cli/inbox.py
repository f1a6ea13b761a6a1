"""`mq9fast inbox`: decide requests for approval in the terminal."""

import sys
from typing import Annotated, Any

import msgspec
import typer

from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.output import cell
from mq9fast.client import ApprovalRequest, ListedMessage
from mq9fast.client.approval import decision_on

SKIP, QUIT = "skip", "quit"


@client_command()
async def command(
    mq9: Mq9,
    output: Output,
    address: Annotated[str, typer.Argument(help="Address of your mailbox.")],
    decide: Annotated[
        str, typer.Option("--decide", metavar="DECISION", help="Decide one request without being asked.")
    ] = "",
    msg_id: Annotated[int | None, typer.Option("--id", help="Which one; else the most urgent.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
) -> None:
    """Show the requests for approval in a mailbox, most urgent first, and ask for a decision on each.

    Without a terminal, or with --json, it only shows them, unless --decide is given.
    """
    requests = [found async for each in mq9.list(address) if (found := _read(each)) is not None]
    if decide:
        wanted = [(message, request) for message, request in requests if msg_id in (None, message.msg_id)]
        if not wanted:
            raise typer.BadParameter("there is no such request")
        await _decide(mq9, output, address, *wanted[0], decide, reason)
        return
    is_asked = output.on_terminal and sys.stdin.isatty() and not output.as_json
    for message, request in requests:
        _show(output, message, request)
        if not is_asked:
            continue
        choice = typer.prompt(f"[{'/'.join((*request.choices, SKIP, QUIT))}]", default=SKIP)
        if choice == QUIT:
            break
        if choice != SKIP:
            why = typer.prompt("Reason", default="", show_default=False)
            await _decide(mq9, output, address, message, request, choice, why)
    output.text("No more requests." if requests else "There are no requests.")


def _read(message: ListedMessage) -> tuple[ListedMessage, ApprovalRequest] | None:
    """None if the message is no request for approval."""
    try:
        return message, msgspec.json.decode(message.data or b"", type=ApprovalRequest)
    except msgspec.DecodeError:
        return None


def _show(output: Output, message: ListedMessage, request: ApprovalRequest) -> None:
    if output.as_json:
        output.row({"msg_id": message.msg_id, "from": message.sender, **msgspec.to_builtins(request)})
        return
    # The texts are those of others: nothing in them may act on the terminal.
    who = message.sender or "somebody who did not sign in"
    lines: dict[str, Any] = {"from": who, "action": request.action.name, **request.action.arguments}
    if request.risk is not None:
        lines["risk"] = request.risk.level
    output.text(f"\n{message.msg_id}  {message.priority}  {cell(request.title)}")
    for name, value in lines.items():
        output.text(f"    {cell(name)}: {cell(value)}")


async def _decide(
    mq9: Mq9,
    output: Output,
    address: str,
    message: ListedMessage,
    request: ApprovalRequest,
    decision: str,
    reason: str,
) -> None:
    body = decision_on(request, decision, reason or None)
    settled = await mq9.reply(address, message.msg_id, body)
    if output.as_json:
        output.row({"msg_id": message.msg_id, "decision": decision, "counts": settled.deleted})
    output.text(
        f"{message.msg_id}: {decision}" if settled.deleted else f"{message.msg_id}: somebody else was first"
    )
