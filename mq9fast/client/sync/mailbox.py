"""A mailbox, as a program without an event loop reads it."""

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mq9fast.client.mailbox import DEFAULT_GROUP, Mailbox
from mq9fast.client.replies import Created, ListedMessage, Sent
from mq9fast.client.sync.bridge import Bridge, waits
from mq9fast.client.sync.message import SyncMessage
from mq9fast.client.sync.stream import SyncEvents, SyncMember, SyncWatcher
from mq9fast.loop_thread import LoopThread

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mq9fast.client.options import SendOptions

T = TypeVar("T")
Self = TypeVar("Self", bound="SyncMailbox[Any]")


class SyncMailbox(Bridge[Mailbox[Any]], Generic[T]):
    """`mq9.mailbox(...)` creates the mailbox; a `with` block also renews its TTL until it ends.

    `for message in mailbox` reads it as a member of the group `inbox`.
    """

    def __init__(self, loop: LoopThread, mailbox: Mailbox[Any]) -> None:
        super().__init__(loop, mailbox)
        self._member: SyncMember[T] | None = None

    @property
    def address(self) -> str:
        """The address."""
        return self._wrapped.address

    @property
    def created(self) -> Created | None:
        """What CREATE replied."""
        return self._wrapped.created

    renew = waits(Mailbox.renew)
    send = waits(Mailbox.send)
    info = waits(Mailbox.info)
    delete = waits(Mailbox.delete)

    def __enter__(self: Self) -> Self:
        self._run(self._wrapped.keep_renewing())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._loop.is_closed:
            self._run(self._wrapped.__aexit__(kind, error, trace))
        if self._member is not None:
            self._member.close()

    def __iter__(self) -> SyncMember[T]:
        if self._member is None:
            self._member = self.group(DEFAULT_GROUP)
        return self._member

    def next(self, timeout: float | None = None) -> SyncMessage[T]:
        """The next message, as a member of the group `inbox`. Raises TimedOut."""
        return iter(self).next(timeout)

    def group(self, name: str, *, prefetch: int = 1) -> SyncMember[T]:
        """A member of this queue group of the mailbox."""
        return SyncMember(self._loop, self._call(lambda: self._wrapped.group(name, prefetch=prefetch)))

    def watch(self) -> SyncWatcher[T]:
        """Every message of the mailbox, also those that others receive."""
        return SyncWatcher(self._loop, self._call(self._wrapped.watch))

    def events(self, *, messages: bool = False) -> SyncEvents:
        """What becomes of the mailbox, and with `messages` of each message."""
        return SyncEvents(self._loop, self._call(lambda: self._wrapped.events(messages=messages)))

    def list(self, *, newest_first: bool = False, meta_only: bool = False) -> Iterator[ListedMessage]:
        """LIST: all messages, page after page."""
        return self._each(self._wrapped.list(newest_first=newest_first, meta_only=meta_only))


class SyncStatus(SyncMailbox[T]):
    """A mailbox that holds the latest message only. While its block runs, the mailbox is there."""

    def set(self, body: object, **options: "Unpack[SendOptions]") -> Sent:
        """Replace what the status says."""
        return self.send(body, **options)
