"""What is known of a connection at one moment, and the records of the connections that were closed last.

`server/broker.py` adds a record when a connection ends. The pages of monitoring make records of open ones.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from mq9fast._core.delivery.delivery import MailboxSubscription
from mq9fast._core.delivery.events import EventSubscription
from mq9fast._core.pubsub.client import Subscription
from mq9fast.network.connection import Connection

# nats-server's default of max_closed_clients.
MAX_CLOSED = 10_000
MAX_CLOSED_BYTES = 8 << 20
# The record of a connection without the texts that its client chose, with the entry in the deque.
RECORD_BYTES = 512
MAX_BYTES_OF_CHARACTER = 4
# The lists of subscriptions of closed connections, all together and one of them.
MAX_LISTS_BYTES = 4 << 20
MAX_LIST_BYTES = 64 << 10
# A subscription in a list, without its texts.
SUBSCRIPTION_BYTES = 256
# nats-server shows this in place of a token.
REDACTED = "[REDACTED]"


class ClosedSubscription(msgspec.Struct, gc=False):
    """A subscription that a connection had when it was closed. `address`: that of its mailbox, or ""."""

    subject: str
    address: str
    sid: str
    queue: str
    delivered: int

    @property
    def size(self) -> int:
        """Its memory in bytes, or more."""
        texts = len(self.subject) + len(self.address) + len(self.sid) + len(self.queue)
        return SUBSCRIPTION_BYTES + MAX_BYTES_OF_CHARACTER * texts


class ConnectionRecord(msgspec.Struct, kw_only=True, gc=False):
    """One connection. Times are broker time in milliseconds; `stopped_ms` is 0 while it is open.

    `user`: how the client signed in, by a user's name, an NKEY, or REDACTED for a token; "" before it did.
    """

    cid: int
    type: str
    ip: str
    port: int
    started_ms: int
    active_ms: int
    stopped_ms: int = 0
    reason: str = ""
    rtt_ns: int
    pending_bytes: int
    in_messages: int
    out_messages: int
    in_bytes: int
    out_bytes: int
    stalls: int = 0
    subscriptions: int
    # Of a closed connection, as many as MAX_LIST_BYTES allow.
    ended_subscriptions: list[ClosedSubscription] = []
    name: str
    lang: str
    version: str
    tls_version: str
    cipher: str
    user: str

    @property
    def size(self) -> int:
        """Its memory in bytes, or more."""
        return RECORD_BYTES + MAX_BYTES_OF_CHARACTER * (len(self.name) + len(self.lang) + len(self.version))


def record_of(connection: Connection) -> ConnectionRecord:
    """The record of a connection now."""
    session = connection.session
    cipher, tls_version, _ = connection.cipher or ("", "", 0)
    return ConnectionRecord(
        cid=session.cid,
        type=connection.client_type,
        ip=connection.peer[0],
        port=connection.peer[1],
        started_ms=session.started_ms,
        active_ms=session.active_ms,
        rtt_ns=session.rtt_ns,
        pending_bytes=connection.pending_bytes,
        in_messages=session.in_messages,
        out_messages=session.out_messages,
        in_bytes=session.in_bytes,
        out_bytes=session.out_bytes,
        stalls=session.stalls,
        subscriptions=len(session.subscriptions),
        name=session.name or "",
        lang=session.lang or "",
        version=session.version or "",
        tls_version=tls_version.removeprefix("TLSv"),
        cipher=cipher,
        user=user_of(connection),
    )


def closed_record(connection: Connection, now_ms: int) -> ConnectionRecord:
    """The record of a connection that is closed now, with its subscriptions."""
    record = record_of(connection)
    record.stopped_ms, record.reason = now_ms, connection.end_reason
    kept, size = [], 0
    for subscription in connection.session.subscriptions.values():
        ended = _ended(subscription)
        size += ended.size
        if size > MAX_LIST_BYTES:
            break
        kept.append(ended)
    record.ended_subscriptions = kept
    return record


def _ended(subscription: Subscription) -> ClosedSubscription:
    address = b""
    if isinstance(subscription, MailboxSubscription):
        address = subscription.mailbox.address
    elif isinstance(subscription, EventSubscription):
        address = subscription.address
    return ClosedSubscription(
        subscription.subject.decode("utf-8", "replace"),
        address.decode(),
        subscription.sid.decode("utf-8", "replace"),
        (subscription.queue or b"").decode("utf-8", "replace"),
        subscription.delivered,
    )


def user_of(connection: Connection) -> str:
    """How the client signed in; "" before it did."""
    session = connection.session
    if not session.authorized:
        return ""
    return REDACTED if session.identity.kind == "token" else str(session.identity.name)


class ClosedConnections:
    """The records of the last MAX_CLOSED connections that were closed, or fewer if they take much memory."""

    def __init__(self) -> None:
        self._records: deque[ConnectionRecord] = deque()
        self._bytes = 0
        # Those with a list of subscriptions, and the memory of the lists.
        self._with_lists: deque[ConnectionRecord] = deque()
        self._lists_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[ConnectionRecord]:
        """The oldest first."""
        return iter(self._records)

    def add(self, record: ConnectionRecord) -> None:
        """Add a record. Past the limits, forget the oldest lists of subscriptions and the oldest records."""
        self._records.append(record)
        self._bytes += record.size
        while len(self._records) > MAX_CLOSED or self._bytes > MAX_CLOSED_BYTES:
            self._forget_oldest()
        if record.ended_subscriptions:
            self._with_lists.append(record)
            self._lists_bytes += _list_bytes(record)
        while self._lists_bytes > MAX_LISTS_BYTES:
            self._forget_oldest_list()

    def _forget_oldest(self) -> None:
        oldest = self._records.popleft()
        self._bytes -= oldest.size
        if self._with_lists and self._with_lists[0] is oldest:
            self._forget_oldest_list()

    def _forget_oldest_list(self) -> None:
        oldest = self._with_lists.popleft()
        self._lists_bytes -= _list_bytes(oldest)
        oldest.ended_subscriptions = []


def _list_bytes(record: ConnectionRecord) -> int:
    return sum(each.size for each in record.ended_subscriptions)
