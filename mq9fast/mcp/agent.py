"""The agent that calls the tools: its mailbox, and the messages that it holds.

`tools.py` has one. A held message is settled by `take_held`; the broker gives the others to somebody else
when the connection ends, however it ends.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import Any

from mq9fast.client import Message, Mq9, Mq9Error, PermissionDenied, TimedOut

logger = logging.getLogger("mq9fast.mcp")

GROUP = "inbox"
# Seconds that answers wait for this agent, after the last one came.
ANSWERS_TTL = 30 * 24 * 3600
# How long `receive` waits at least for what is stored, and then for one more message.
MIN_SECONDS = 0.5
MORE_SECONDS = 0.05
# How long it takes at most to notice that a caller is idle.
MAX_PAUSE = 30.0


class NotHeldError(Mq9Error):
    """There is no such message among those that this agent holds."""

    code = "not_held"
    hint = "Call mq9_receive: a message that is not settled comes again."


class Agent:
    """`address`: of the mailbox that this agent reads. `answers`: of the one that receives answers to its
    questions, also after a restart; None if it may not be created."""

    def __init__(self, mq9: Mq9, address: str, answers: str | None) -> None:
        self.mq9 = mq9
        self.address = address
        self.answers = answers
        self._member = mq9.group(address, GROUP)
        self._held: dict[int, Message[Any]] = {}
        # Came after the caller had stopped waiting.
        self._late: deque[Message[Any]] = deque()
        self._late_tasks: set[asyncio.Task[Message[Any]]] = set()
        self._last_call = time.monotonic()

    @classmethod
    async def create(cls, mq9: Mq9, address: str) -> "Agent":
        """Create its mailboxes, if this user may. Without an address, it is generated. Raises Mq9Error."""
        try:
            created = await mq9.create(address or None, prefix=None if address else "agent")
            answers = await mq9.create(f"{created.mail_address}.answers", ttl=ANSWERS_TTL)
        except PermissionDenied:
            if not address:
                raise
            return cls(mq9, address, None)
        return cls(mq9, created.mail_address, answers.mail_address)

    async def unread(self) -> int:
        """How many messages wait that this agent does not hold. Raises Mq9Error."""
        page = await self.mq9.page(self.address, limit=1, meta_only=True)
        return max(page.total - len(self._held), 0)

    async def receive(self, seconds: float, most: int) -> list[Message[Any]]:
        """Up to `most` messages, most urgent first. Waits for the first one. Raises Mq9Error."""
        messages: list[Message[Any]] = []
        while len(messages) < most:
            try:
                message = await self._next(MORE_SECONDS if messages else max(seconds, MIN_SECONDS))
            except TimedOut:
                await self._pause()
                break
            # The client renews its `ack_wait` while this agent holds it.
            message.in_block = True
            self._held[message.msg_id] = message
            messages.append(message)
        return messages

    async def _next(self, seconds: float) -> Message[Any]:
        if self._late:
            return self._late.popleft()
        task = asyncio.create_task(self._member.next(seconds))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The caller gave up. What still comes is for its next call.
            self._late_tasks.add(task)
            task.add_done_callback(self._keep_late)
            raise

    async def _pause(self) -> None:
        """Leave what comes now to others that read the mailbox, and in its order."""
        if not self._late_tasks:
            await self._member.pause()

    def _keep_late(self, task: "asyncio.Task[Message[Any]]") -> None:
        self._late_tasks.discard(task)
        with contextlib.suppress(Mq9Error, asyncio.CancelledError):
            self._late.append(task.result())

    def begin_call(self) -> None:
        """The caller is alive."""
        self._last_call = time.monotonic()

    async def give_back_when_idle(self, seconds: float) -> None:
        """Give back what it holds whenever no call has come for so long, until this is cancelled.

        A caller over HTTP that dies says nothing.
        """
        while True:
            await asyncio.sleep(min(seconds / 4, MAX_PAUSE))
            if self._held and time.monotonic() >= self._last_call + seconds:
                logger.warning("%s: no call came for %g s, so what it held goes back", self.address, seconds)
                for msg_id in list(self._held):
                    with contextlib.suppress(Mq9Error):
                        await self.take_held(msg_id).give_back(0)

    def take_held(self, msg_id: int) -> Message[Any]:
        """A message to settle; it is not held any more. Raises NotHeldError."""
        message = self._held.pop(msg_id, None)
        if message is None:
            raise NotHeldError(f"You do not hold the message {msg_id}.")
        message.in_block = False
        return message
