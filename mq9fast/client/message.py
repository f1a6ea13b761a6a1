"""A message that a client has received, and what it can do with it: answers, as in docs/protocol.md."""

import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from mq9fast.client import tracing
from mq9fast.client.approval import decision_on
from mq9fast.client.body import check_answer, encode
from mq9fast.client.errors import ClientClosed, GiveBack, Reject
from mq9fast.client.names import check_headers
from mq9fast.client.received import Received
from mq9fast.client.replies import Settled, read_reply
from mq9fast.client.transport import Delivery, Transport

T = TypeVar("T")
Self = TypeVar("Self", bound="Message[Any]")

logger = logging.getLogger("mq9fast.client")


class Message(Received[T]):
    """A message, until it is settled: done, answered, given back or rejected.

    In `async with message:` it is done when the block ends, and given back if the block raises. A raised
    `Reject` makes it a dead letter and `GiveBack` gives it back; both end there. All other exceptions go on.
    """

    def __init__(
        self,
        transport: Transport,
        timeout: float,
        address: str,
        delivery: Delivery,
        of: Any,
        unsettled: set[str] | None = None,
    ) -> None:
        """`unsettled`: reply subjects, from which this one is removed when the message is settled."""
        super().__init__(address, delivery, of)
        self._transport = transport
        self._timeout = timeout
        self._reply = delivery.reply
        self._unsettled = unsettled
        self._span: AbstractContextManager[Any] | None = None
        self.is_settled = False
        self.in_block = False

    async def done(self) -> None:
        """Delete the message. Does not wait for the broker's reply."""
        await self._settle(b"")

    async def give_back(self, delay: float | None = None) -> None:
        """Give it to the group again: after `delay` seconds, or else the `backoff` of the mailbox."""
        order = "" if delay is None else " " + json.dumps({"delay": round(delay * 1e9)})
        await self._settle(b"-NAK" + order.encode())

    async def reject(self, reason: str = "") -> None:
        """Make it a dead letter. Without the option `dead_letter` of the mailbox it is deleted."""
        await self._settle(f"+TERM {reason}".rstrip().encode())

    async def working(self) -> None:
        """Start the `ack_wait` of the mailbox again. Blocks of a group do it by themselves."""
        await self._transport.publish(self._reply, b"+WPI")

    async def reply(self, body: object, headers: Mapping[str, str] | None = None) -> Settled:
        """Answer the message, and delete it, in one commit of the broker; if it is no question, only delete
        it.

        The result says whether this answer counts: `deleted` is false if another client was first. It is also
        false if the connection was lost after the broker had carried it out. Raises Mq9Error.
        """
        data = check_answer(encode(body))
        all_headers = check_headers(dict(headers or {}))
        with tracing.sending(self.reply_to or self.address, all_headers):
            reply = await self._transport.request(
                self._reply, data, self._timeout, all_headers or None, again=True
            )
        settled = read_reply(reply, Settled)
        self._mark_settled()
        return settled

    async def decide(
        self, decision: str, *, reason: str | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Settled:
        """Answer a request for approval. `arguments`: those to use instead of the ones asked for.

        Raises InvalidBody if the message is no such request, does not offer this decision, or has the digest
        of another action than the one that it shows.
        """
        return await self.reply(decision_on(self.approval(), decision, reason, arguments))

    async def _settle(self, order: bytes) -> None:
        await self._transport.publish(self._reply, order)
        self._mark_settled()

    def _mark_settled(self) -> None:
        self.is_settled = True
        if self._unsettled is not None:
            self._unsettled.discard(self._reply)

    async def __aenter__(self: Self) -> Self:
        self.in_block = True
        self._span = tracing.processing(self.address, self.msg_id, self.headers)
        self._span.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._span is not None:
            self._span.__exit__(kind, error, trace)
        return await self.end_block(error)

    async def end_block(self, error: BaseException | None) -> bool:
        """Settle the message as the end of its block says; returns whether `error` ends here."""
        self.in_block = False
        if isinstance(error, Reject):
            logger.info("%r is rejected: %s", self, error)
        if not self.is_settled:
            try:
                await self._settle_as(error)
            except ClientClosed:
                # The broker gives the message back anyway. An error of the block tells more than this one.
                if error is None:
                    raise
        return isinstance(error, Reject | GiveBack)

    async def _settle_as(self, error: BaseException | None) -> None:
        if error is None:
            await self.done()
        elif isinstance(error, Reject):
            await self.reject(" ".join(str(error).split()))
        elif isinstance(error, GiveBack):
            await self.give_back(error.delay)
        elif isinstance(error, Exception):
            await self.give_back()
        else:
            # The program ends, or the task does: the message has not failed.
            await self.give_back(0)
