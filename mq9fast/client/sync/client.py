"""The client for programs without an event loop."""

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from mq9fast.client.client import Mq9, connect
from mq9fast.client.replies import ListedMessage, PublicMailbox
from mq9fast.client.server import Server
from mq9fast.client.sync.bridge import Bridge, waits
from mq9fast.client.sync.mailbox import SyncMailbox, SyncStatus
from mq9fast.client.sync.message import SyncAnswer
from mq9fast.client.sync.stream import SyncEvents, SyncMember, SyncWatcher
from mq9fast.client.ticket import Ticket
from mq9fast.loop_thread import LoopThread

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mq9fast.client.options import MailboxOptions, SendOptions

T = TypeVar("T")


class SyncMq9(Bridge[Mq9]):
    """A connection to a broker: `with mq9fast.connect_sync() as mq9:`, or `close` at the end.

    All methods wait, and raise subclasses of Mq9Error. Any number of threads may use one client.
    """

    @property
    def server(self) -> Server:
        """Where the broker is, and the credentials."""
        return self._wrapped.server

    create = waits(Mq9.create)
    send = waits(Mq9.send)
    delete = waits(Mq9.delete)
    reply = waits(Mq9.reply)
    page = waits(Mq9.page)
    get = waits(Mq9.get)
    info = waits(Mq9.info)
    send_question = waits(Mq9.send_question)
    approve = waits(Mq9.approve)
    send_approval_request = waits(Mq9.send_approval_request)
    decision = waits(Mq9.decision)

    def close(self) -> None:
        """Send what waits, give back what is held, close the connection and end the thread."""
        if not self._loop.is_closed:
            try:
                self._run(self._wrapped.close())
            finally:
                self._loop.close()

    def __enter__(self) -> "SyncMq9":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def list(
        self, address: str, *, newest_first: bool = False, meta_only: bool = False, limit: int | None = None
    ) -> Iterator[ListedMessage]:
        """LIST: all messages, page after page. `limit`: at most so many."""
        return self._each(
            self._wrapped.list(address, newest_first=newest_first, meta_only=meta_only, limit=limit)
        )

    def find(self, prefix: str = "", *, need: str = "", with_latest: bool = False) -> Iterator[PublicMailbox]:
        """LIST: the public mailboxes whose address begins with `prefix`.

        `need`: only those that have each of these words in their address or description.
        """
        return self._each(self._wrapped.find(prefix, need=need, with_latest=with_latest))

    @overload
    def ask(
        self,
        to: str,
        body: object,
        *,
        of: type[T],
        timeout: float | None = ...,
        **options: "Unpack[SendOptions]",
    ) -> SyncAnswer[T]: ...

    @overload
    def ask(
        self, to: str, body: object, *, timeout: float | None = ..., **options: "Unpack[SendOptions]"
    ) -> SyncAnswer[Any]: ...

    def ask(
        self, to: str, body: object, *, of: Any = Any, timeout: float | None = None, **options: Any
    ) -> SyncAnswer[Any]:
        """Send a question, and wait for its answer: for ever, or `timeout` seconds.

        Raises NoAnswerYet with the ticket, and NoAnswer if the question expired or was deleted.
        """
        answer = self._run(self._wrapped.ask(to, body, of=of, timeout=timeout, **options))
        return SyncAnswer(self._loop, answer)

    @overload
    def answer(self, ticket: Ticket | str, *, of: type[T], timeout: float | None = ...) -> SyncAnswer[T]: ...

    @overload
    def answer(self, ticket: Ticket | str, *, timeout: float | None = ...) -> SyncAnswer[Any]: ...

    def answer(self, ticket: Ticket | str, *, of: Any = Any, timeout: float | None = None) -> SyncAnswer[Any]:
        """Wait for the answer to a question that any process sent. It stays until `answer.done()`.

        Raises NoAnswerYet, NoAnswer, InvalidTicket, and MailboxNotFound if its mailbox has expired.
        """
        return SyncAnswer(self._loop, self._run(self._wrapped.answer(ticket, of=of, timeout=timeout)))

    @overload
    def mailbox(
        self,
        name: str | None = ...,
        *,
        of: type[T],
        prefix: str | None = ...,
        public: bool | None = ...,
        ttl: int | None = ...,
        desc: str | None = ...,
        **options: "Unpack[MailboxOptions]",
    ) -> SyncMailbox[T]: ...

    @overload
    def mailbox(
        self,
        name: str | None = ...,
        *,
        prefix: str | None = ...,
        public: bool | None = ...,
        ttl: int | None = ...,
        desc: str | None = ...,
        **options: "Unpack[MailboxOptions]",
    ) -> SyncMailbox[Any]: ...

    def mailbox(self, name: str | None = None, *, of: Any = Any, **fields: Any) -> SyncMailbox[Any]:
        """Create a mailbox to read: `with mq9.mailbox("agent.writer", ttl=3600) as inbox:`.

        `of`: the type of the bodies, by default what JSON gives. The other arguments are those of `create`.
        """
        return SyncMailbox(self._loop, self._run(self._wrapped.mailbox(name, of=of, **fields).create()))

    def status(
        self, name: str, *, ttl: int = 30, public: bool = True, desc: str | None = None
    ) -> SyncStatus[Any]:
        """A mailbox of the latest message, for `with`. It ends `ttl` seconds after the block."""
        status = self._wrapped.status(name, ttl=ttl, public=public, desc=desc)
        return SyncStatus(self._loop, self._run(status.create()))

    @overload
    def group(
        self, address: str, name: str, *, of: type[T], priority: str = ..., prefetch: int = ...
    ) -> SyncMember[T]: ...

    @overload
    def group(
        self, address: str, name: str, *, priority: str = ..., prefetch: int = ...
    ) -> SyncMember[Any]: ...

    def group(
        self, address: str, name: str, *, of: Any = Any, priority: str = "", prefetch: int = 1
    ) -> SyncMember[Any]:
        """SUB in a queue group: `for message in mq9.group("tasks", "workers")`, each to one member.

        `prefetch`: how many messages it asks for at a time. If the mailbox has an `ack_wait`, the time starts
        again and again while a `with message` runs.
        """
        group = self._wrapped.group
        return SyncMember(
            self._loop,
            self._call(lambda: group(address, name, of=of, priority=priority, prefetch=prefetch)),
        )

    @overload
    def watch(self, address: str, *, of: type[T], priority: str = ...) -> SyncWatcher[T]: ...

    @overload
    def watch(self, address: str, *, priority: str = ...) -> SyncWatcher[Any]: ...

    def watch(self, address: str, *, of: Any = Any, priority: str = "") -> SyncWatcher[Any]:
        """SUB without a queue group: every message, also those that others receive."""
        watch = self._wrapped.watch
        return SyncWatcher(self._loop, self._call(lambda: watch(address, of=of, priority=priority)))

    def events(self, address: str, *, messages: bool = False) -> SyncEvents:
        """SUB to events: what becomes of a mailbox, and with `messages` of each message."""
        return SyncEvents(self._loop, self._call(lambda: self._wrapped.events(address, messages=messages)))


def connect_sync(
    url: str | None = None,
    *,
    name: str = "",
    answers: str | None = None,
    user: str | None = None,
    password: str | None = None,
    token: str | None = None,
    nkey: str | None = None,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    context: str | None = None,
    timeout: float = 10,
) -> SyncMq9:
    """Connect, and return a client for programs without an event loop. The arguments are those of `connect`.

    It has a thread of its own. Raises NoBroker, SignInFailed, BadContext.
    """
    client = connect(
        url,
        name=name,
        answers=answers,
        user=user,
        password=password,
        token=token,
        nkey=nkey,
        ca=ca,
        cert=cert,
        key=key,
        context=context,
        timeout=timeout,
    )
    loop = LoopThread("mq9fast-client")
    try:
        loop.run(client.connect())
    except BaseException:
        loop.close()
        raise
    return SyncMq9(loop, client)
