"""What arrives on subscriptions, as iterators for programs without an event loop."""

from types import TracebackType
from typing import Any, Generic, TypeVar

from mq9fast.client.errors import ClientClosed
from mq9fast.client.replies import Event
from mq9fast.client.stream import Events, Member, Stream, Watcher
from mq9fast.client.sync.bridge import Bridge, waits
from mq9fast.client.sync.message import SyncMessage

T = TypeVar("T")
Item = TypeVar("Item")
S = TypeVar("S", bound=Stream[Any])
Self = TypeVar("Self", bound="SyncStream[Any, Any]")


class SyncStream(Bridge[S], Generic[S, Item]):
    """Items by priority, then by arrival. It goes on after a lost connection is there again."""

    def __iter__(self: Self) -> Self:
        return self

    def __next__(self) -> Item:
        try:
            return self.next()
        except ClientClosed:
            if self._wrapped.is_closed:
                raise StopIteration from None
            raise

    def next(self, timeout: float | None = None) -> Item:
        """The next item. Raises TimedOut after `timeout` seconds, ClientClosed, PermissionDenied."""
        return self._item(self._run(self._wrapped.next(timeout)))

    def _item(self, item: Any) -> Item:
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """Unsubscribe. The broker gives what is held to other members. Does nothing if it is closed."""
        if not self._loop.is_closed:
            self._run(self._wrapped.close())

    def __enter__(self: Self) -> Self:
        self._run(self._wrapped.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SyncMember(SyncStream[Member[Any], SyncMessage[T]]):
    """A member of a queue group: it holds each message until that is settled, and no other member gets it."""

    pause = waits(Member.pause)

    def _item(self, item: Any) -> SyncMessage[T]:
        return SyncMessage(self._loop, item)


class SyncWatcher(SyncStream[Watcher[Any], SyncMessage[T]]):
    """Gets every message: what is stored, then what comes. Others get them all the same."""

    def _item(self, item: Any) -> SyncMessage[T]:
        return SyncMessage(self._loop, item)


class SyncEvents(SyncStream[Events, Event]):
    """What becomes of a mailbox and of its messages."""
