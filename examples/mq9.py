"""What every example here would otherwise repeat. All else is plain nats-py."""

import json
from typing import Any

import nats


class MailboxError(Exception):
    """The broker answered with an error; `code` says which (docs/protocol.md, Errors)."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer["error"])
        self.code = answer["code"]


async def ask(client: nats.NATS, command: str, /, **fields: Any) -> dict[str, Any]:
    """Request `$mq9.AI.MAILBOX.{command}` with a JSON object; return the one it is answered with."""
    reply = await client.request(f"$mq9.AI.MAILBOX.{command}", json.dumps(fields).encode(), timeout=3)
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise MailboxError(answer)
    return answer


async def discard_all(client: nats.NATS, address: str) -> None:
    """Empty a mailbox that has the same address in every run: what is in it is an earlier one's."""
    while listed := (await ask(client, f"LIST.{address}"))["messages"]:
        for message in listed:
            await ask(client, f"DELETE.{address}.{message['msg_id']}")


def expect(held: bool, sentence: str) -> None:
    """Go on if the promise held; else end the program with a sentence that says which one did not."""
    if not held:
        raise SystemExit(f"NOT AS PROMISED: {sentence}")
