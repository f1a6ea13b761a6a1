"""Functions that all examples share. Everything else in the examples is plain nats-py."""

import json
from typing import Any

import nats


class MailboxError(Exception):
    """The broker replied with an error. `code` is the error code (docs/protocol.md, "Errors")."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer["error"])
        self.code = answer["code"]


async def ask(
    client: nats.NATS, command: str, /, headers: dict[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    """Send `fields` as JSON to `$mq9.AI.MAILBOX.{command}` and return the reply. Raises MailboxError."""
    subject, payload = f"$mq9.AI.MAILBOX.{command}", json.dumps(fields).encode()
    reply = await client.request(subject, payload, timeout=3, headers=headers)
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise MailboxError(answer)
    return answer


async def delete_all(client: nats.NATS, address: str) -> None:
    """Delete all messages of a mailbox: one with a fixed address may have messages of an earlier run."""
    while listed := (await ask(client, f"LIST.{address}"))["messages"]:
        for message in listed:
            await ask(client, f"DELETE.{address}.{message['msg_id']}")


def expect(condition: bool, promise: str) -> None:
    """End the program with an error if the broker did not keep this promise."""
    if not condition:
        raise SystemExit(f"BROKEN PROMISE: {promise}")
