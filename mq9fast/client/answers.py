"""Waits for answers: one subscription to a mailbox, whose messages are given to those who wait for them."""

import asyncio
import contextlib
from typing import Any, TypeVar

import msgspec

from mq9fast.client.commands import DELETE, LIST, MSG
from mq9fast.client.errors import Mq9Error, NoAnswer, NoAnswerYet
from mq9fast.client.message import Message
from mq9fast.client.replies import Page, read_reply
from mq9fast.client.ticket import Ticket
from mq9fast.client.transport import Delivery, Subscription, Transport

T = TypeVar("T")

ANSWERED = "answered"
IN_REPLY_TO = "Mq9-In-Reply-To"
# Of how many questions that ended without an answer a client knows it, for those who ask later.
MAX_ENDED = 10_000


class Answer(Message[T]):
    """An answer. It stays in the mailbox until `done()` or the end of `async with answer:`."""

    ticket: Ticket

    @property
    def by(self) -> str | None:
        """The name of the client that answered, as the broker proves it."""
        return self.sender


class _ReceiptBody(msgspec.Struct):
    mail_address: str
    msg_id: int
    event: str
    how: str | None = None


class Answers:
    """The answers that arrive in one mailbox. There is one of these for a mailbox and a client."""

    def __init__(self, transport: Transport, timeout: float, address: str) -> None:
        self._transport = transport
        self._timeout = timeout
        self.address = address
        # Who waits for what: a question, or the correlation id of one that is just being sent.
        self._waiting: dict[str, set[asyncio.Future[Delivery]]] = {}
        # Receipts of questions that ended without an answer, the latest last.
        self._ended: dict[str, Delivery] = {}
        self._subscription: Subscription | None = None
        self._discards: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Subscribe, if that has not happened."""
        async with self._starting:
            if self._subscription is None:
                self._subscription = await self._transport.subscribe(
                    MSG + self.address, self._receive, self._fail
                )

    def expect(
        self, name: str, future: "asyncio.Future[Delivery] | None" = None
    ) -> "asyncio.Future[Delivery]":
        """A future of the answer with this question or correlation id. `forget` it in the end."""
        if future is None:
            future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(future)
        if name in self._ended and not future.done():
            future.set_result(self._ended[name])
        return future

    def forget(self, future: "asyncio.Future[Delivery]", *names: str) -> None:
        for name in names:
            futures = self._waiting.get(name, set())
            futures.discard(future)
            if not futures:
                self._waiting.pop(name, None)

    async def read(self, ticket: Ticket, of: Any, timeout: float | None) -> "Answer[Any]":
        """The answer to a question that any process may have sent. Raises NoAnswerYet, NoAnswer, Mq9Error."""
        future = self.expect(ticket.question)
        try:
            await self.start()
            if stored := await self._stored(ticket):
                return self._answer(stored, ticket, of)
            return await self.wait(future, ticket, of, timeout)
        finally:
            self.forget(future, ticket.question)

    async def wait(
        self, future: "asyncio.Future[Delivery]", ticket: Ticket, of: Any, timeout: float | None
    ) -> "Answer[Any]":
        """Raises NoAnswerYet, NoAnswer, Mq9Error."""
        done, _ = await asyncio.wait([future], timeout=timeout)
        if not done:
            raise NoAnswerYet(str(ticket))
        return self._answer(future.result(), ticket, of)

    async def _stored(self, ticket: Ticket) -> Delivery | None:
        """The answer, if it is in the mailbox: it is stored under the question as its key."""
        body = msgspec.json.encode({"key": ticket.question})
        reply = await self._transport.request(LIST + self.address, body, self._timeout, again=True)
        for message in read_reply(reply, Page).messages:
            # The key alone proves nothing: clients may use any. Only the broker sets this header.
            if message.data is not None and message.headers.get(IN_REPLY_TO) == ticket.question:
                headers = {name: str(value) for name, value in message.headers.items()}
                to_delete = f"{DELETE}{self.address}.{message.msg_id}"
                priority = "" if message.priority == "normal" else f".{message.priority}"
                return Delivery(MSG + self.address + priority, to_delete, message.data, headers)
        return None

    def _answer(self, delivery: Delivery, ticket: Ticket, of: Any) -> Answer[Any]:
        if "Mq9-Receipt" in delivery.headers:
            event = _read_receipt(delivery.data).event
            raise NoAnswer(str(ticket), "deleted" if event == "settled" else event)
        answer: Answer[Any] = Answer(self._transport, self._timeout, self.address, delivery, of)
        answer.ticket = ticket
        return answer

    def _receive(self, delivery: Delivery) -> None:
        headers = delivery.headers
        if "Mq9-Receipt" in headers:
            self._receive_receipt(delivery)
            return
        # Only the broker sets this header, so that no client can forge an answer.
        if question := headers.get(IN_REPLY_TO):
            for name in (question, headers.get("Mq9-Correlation-Id", "")):
                self._resolve(name, delivery)

    def _receive_receipt(self, delivery: Delivery) -> None:
        """What became of a question. Its answer says by itself that it is answered, so that receipt goes."""
        receipt = _read_receipt(delivery.data)
        if receipt.how == ANSWERED:
            self._discards = {each for each in self._discards if not each.done()}
            self._discards.add(asyncio.create_task(self._discard(delivery)))
        else:
            question = f"{receipt.mail_address}/{receipt.msg_id}"
            self._ended[question] = delivery
            if len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]
            self._resolve(question, delivery)

    async def _discard(self, delivery: Delivery) -> None:
        # If it fails, the receipt stays, and the next client that reads this mailbox discards it.
        with contextlib.suppress(Mq9Error):
            await self._transport.publish(delivery.reply)

    async def close(self) -> None:
        """Wait until what is not needed is discarded."""
        await asyncio.gather(*self._discards)

    def _resolve(self, name: str, delivery: Delivery) -> None:
        for future in self._waiting.get(name, ()):
            if not future.done():
                future.set_result(delivery)

    def _fail(self, error: Mq9Error) -> None:
        self._subscription = None
        for future in set[Any]().union(*self._waiting.values()):
            if not future.done():
                future.set_exception(error)


def _read_receipt(data: bytes) -> _ReceiptBody:
    # The broker composes it, and no client can.
    return msgspec.json.decode(data, type=_ReceiptBody)
