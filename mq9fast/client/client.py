"""The client: the commands, questions, and what arrives on subscriptions."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from mq9fast.client.approvals import Approvals
from mq9fast.client.mailbox import Mailbox, Status
from mq9fast.client.server import Server, find_server
from mq9fast.client.stream import Events, Member, Stream, Watcher
from mq9fast.client.transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mq9fast.client.options import MailboxOptions

T = TypeVar("T")
_S = TypeVar("_S", bound=Stream[Any])


class Mq9(Approvals):
    """A connection to a broker: `async with mq9fast.connect() as mq9:`, or `connect` and `close`.

    All methods raise subclasses of Mq9Error. One client serves any number of tasks of one event loop.
    """

    def __init__(self, server: Server, name: str, answers: str | None, timeout: float) -> None:
        super().__init__(Transport(server, name), timeout, answers)
        self.server = server
        self._streams: list[Stream[Any]] = []

    async def connect(self) -> "Mq9":
        """Raises NoBroker, SignInFailed, BadContext."""
        await self._transport.connect(self.timeout)
        return self

    async def close(self) -> None:
        """Send what waits, give back what is held, and close the connection."""
        for stream in self._streams:
            await stream.close()
        if self._transport.is_connected:
            await self._end_answers()
        await self._transport.close()

    async def __aenter__(self) -> "Mq9":
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Mailboxes.

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
    ) -> Mailbox[T]: ...

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
    ) -> Mailbox[Any]: ...

    def mailbox(self, name: str | None = None, *, of: Any = Any, **fields: Any) -> Mailbox[Any]:
        """A mailbox to read: `async with mq9.mailbox("agent.writer", ttl=3600) as inbox:`.

        `of`: the type of the bodies, by default what JSON gives. The other arguments are those of `create`.
        """
        return Mailbox(self, {"name": name, **fields} if name is not None else fields, of)

    def status(
        self, name: str, *, ttl: int = 30, public: bool = True, desc: str | None = None
    ) -> Status[Any]:
        """A mailbox of the latest message, for `async with`. It ends `ttl` seconds after the block."""
        fields = {"name": name, "ttl": ttl, "public": public, "max_messages": 1, "discard": "old"}
        return Status(self, {**fields, "desc": desc} if desc else fields, Any)

    # What arrives.

    @overload
    def group(
        self, address: str, name: str, *, of: type[T], priority: str = ..., prefetch: int = ...
    ) -> Member[T]: ...

    @overload
    def group(self, address: str, name: str, *, priority: str = ..., prefetch: int = ...) -> Member[Any]: ...

    def group(
        self, address: str, name: str, *, of: Any = Any, priority: str = "", prefetch: int = 1
    ) -> Member[Any]:
        """SUB in a queue group: `async for message in mq9.group("tasks", "workers")`, each to one member.

        `prefetch`: how many messages it asks for at a time. If the mailbox has an `ack_wait`, the time starts
        again and again while an `async with message` runs.
        """
        return self._member(address, name, of, priority, prefetch)

    @overload
    def watch(self, address: str, *, of: type[T], priority: str = ...) -> Watcher[T]: ...

    @overload
    def watch(self, address: str, *, priority: str = ...) -> Watcher[Any]: ...

    def watch(self, address: str, *, of: Any = Any, priority: str = "") -> Watcher[Any]:
        """SUB without a queue group: every message, also those that others receive."""
        return self._watcher(address, of, priority)

    def events(self, address: str, *, messages: bool = False) -> Events:
        """SUB to events: what becomes of a mailbox, and with `messages` of each message."""
        return self._keep(Events(self._transport, address, messages))

    def _member(self, address: str, name: str, of: Any, priority: str, prefetch: int) -> Member[Any]:
        return self._keep(Member(self._transport, self.timeout, address, name, of, priority, prefetch))

    def _watcher(self, address: str, of: Any, priority: str) -> Watcher[Any]:
        return self._keep(Watcher(self._transport, self.timeout, address, of, priority))

    def _keep(self, stream: _S) -> _S:
        self._streams = [each for each in self._streams if not each.is_closed]
        self._streams.append(stream)
        return stream


def connect(
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
) -> Mq9:
    """A client, for `async with` or `await ...connect()`.

    What is not given comes from the environment or a context of the nats CLI: see `mq9fast.client.server`.

    `name`: shown in the broker's monitoring. `answers`: the address of the mailbox for answers to questions,
    which should be given if a restarted program is to ask again with the same `id`; generated without it.
    `nkey`, `ca`, `cert`, `key`: files. `timeout`: seconds for the connection and for each reply.
    Raises BadContext.
    """
    given = {"url": url, "user": user, "password": password, "token": token}
    given |= {"nkey": nkey, "ca": ca, "cert": cert, "key": key}
    return Mq9(find_server(given, context), name, answers, timeout)
