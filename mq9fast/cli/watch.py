"""`mq9fast watch`: print messages as they come, or let a program work on them."""

import asyncio
import os
import sys
from typing import Annotated, Any

import typer

from mq9fast.cli import values
from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.messages import show_message
from mq9fast.client import Member, Message, Mq9Error

DEFAULT_GROUP = "workers"
# How much of what a failed program wrote to standard error is repeated.
MAX_ERROR_BYTES = 2000


@client_command(until_interrupted=True)
async def command(
    mq9: Mq9,
    output: Output,
    address: Annotated[str, typer.Argument(help="Address of the mailbox.")],
    group: Annotated[str, typer.Option("--group", "-g", help="Share the messages with this group.")] = "",
    execute: Annotated[
        str, typer.Option("--exec", metavar="COMMAND", help="Run this for each message, which is its input.")
    ] = "",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="How many run at the same time.")] = 1,
    retry_after: Annotated[
        float,
        typer.Option(
            parser=values.seconds, metavar="TIME", help="Wait after a failure before it is given out."
        ),
    ] = 1.0,
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="End after so many messages.")] = 0,
) -> None:
    """Print messages as they come, most urgent first, until Ctrl-C.

    Without a group, all are printed and none is deleted. With one, each goes to one member and is deleted.
    With --exec, this is a worker: if COMMAND exits with 0, its output is the answer, and the message is
    deleted. Otherwise the message is given back.
    """
    if not group and not execute:
        await _print_all(mq9, output, address, count)
        return
    left = [count or -1]
    async with mq9.group(address, group or DEFAULT_GROUP) as member:
        await asyncio.gather(*(_work(member, output, execute, retry_after, left) for _ in range(jobs)))


async def _print_all(mq9: Mq9, output: Output, address: str, count: int) -> None:
    async with mq9.watch(address) as watcher:
        async for message in watcher:
            show_message(output, message)
            count -= 1
            if count == 0:
                return


async def _work(
    member: Member[Any], output: Output, execute: str, retry_after: float, left: list[int]
) -> None:
    while left[0]:
        left[0] -= 1
        message = await member.next()
        async with message:
            if execute:
                await _execute(message, output, execute, retry_after)
            else:
                show_message(output, message)


async def _execute(message: Message[Any], output: Output, execute: str, retry_after: float) -> None:
    """Run the program with the message as its input, and answer with its output. Ctrl-C ends it too."""
    process = await asyncio.create_subprocess_shell(
        execute,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | _environment(message),
    )
    try:
        result, errors = await process.communicate(message.data)
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    row = {"msg_id": message.msg_id, "status": process.returncode, "deliveries": message.deliveries}
    if process.returncode == 0:
        deleted = await _answer(message, result)
        output.row({**row, "deleted": deleted})
        return
    await message.give_back(retry_after)
    output.row({**row, "deleted": False})
    text = errors[-MAX_ERROR_BYTES:].decode(errors="replace").strip()
    print(
        f"mq9fast: message {message.msg_id} is given back: exit status {process.returncode}. {text}",
        file=sys.stderr,
    )


async def _answer(message: Message[Any], result: bytes) -> bool:
    """Whether the answer counts. Without output the message is only deleted."""
    body = result.rstrip(b"\n")
    if not body:
        await message.done()
        return True
    try:
        return (await message.reply(body)).deleted
    except Mq9Error as error:
        print(f"mq9fast: message {message.msg_id} is not answered: {error}", file=sys.stderr)
        await message.give_back()
        return False


def _environment(message: Message[Any]) -> dict[str, str]:
    return {
        "MQ9_ADDRESS": message.address,
        "MQ9_MSG_ID": str(message.msg_id),
        "MQ9_PRIORITY": message.priority,
        "MQ9_FROM": message.sender or "",
        "MQ9_DELIVERIES": str(message.deliveries),
        "MQ9_CORRELATION_ID": message.correlation_id or "",
    }
