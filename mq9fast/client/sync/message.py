"""A message that a client has received, for programs without an event loop."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from mq9fast.client import tracing
from mq9fast.client.answers import Answer
from mq9fast.client.message import Message
from mq9fast.client.received import Received
from mq9fast.client.sync.bridge import Bridge, waits
from mq9fast.client.ticket import Ticket
from mq9fast.loop_thread import LoopThread

T = TypeVar("T")
Self = TypeVar("Self", bound="SyncMessage[Any]")


class SyncMessage(Received[T], Bridge[Message[Any]]):
    """A message, until it is settled: done, answered, given back or rejected.

    In `with message:` it is done when the block ends, and given back if the block raises. A raised `Reject`
    makes it a dead letter and `GiveBack` gives it back; both end there. All other exceptions go on.
    """

    def __init__(self, loop: LoopThread, message: Message[Any]) -> None:
        Received.__init__(self, message.address, message._delivery, message._of)
        Bridge.__init__(self, loop, message)
        self._span: AbstractContextManager[Any] | None = None

    done = waits(Message.done)
    give_back = waits(Message.give_back)
    reject = waits(Message.reject)
    working = waits(Message.working)
    reply = waits(Message.reply)
    decide = waits(Message.decide)

    @property
    def is_settled(self) -> bool:
        """Whether it is done, answered, given back or rejected."""
        return self._wrapped.is_settled

    def __enter__(self: Self) -> Self:
        self._wrapped.in_block = True
        # In this thread, so that it is the parent of the program's own spans.
        self._span = tracing.processing(self.address, self.msg_id, self.headers)
        self._span.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._span is not None:
            self._span.__exit__(kind, error, trace)
        return self._run(self._wrapped.end_block(error))


class SyncAnswer(SyncMessage[T]):
    """An answer. It stays in the mailbox until `done()` or the end of `with answer:`."""

    def __init__(self, loop: LoopThread, answer: Answer[Any]) -> None:
        super().__init__(loop, answer)
        self.ticket: Ticket = answer.ticket

    @property
    def by(self) -> str | None:
        """The name of the client that answered, as the broker proves it."""
        return self.sender
