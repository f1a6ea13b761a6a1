"""What is known of a connection at one moment, and the records of the connections that were closed last.

`server/broker.py` adds a record when a connection ends. The pages of monitoring make records of open ones.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from mq9fast.network.connection import Connection

# nats-server's default of max_closed_clients.
MAX_CLOSED = 10_000
MAX_CLOSED_BYTES = 8 << 20
# The record of a connection without the texts that its client chose, with the entry in the deque.
RECORD_BYTES = 512
MAX_BYTES_OF_CHARACTER = 4
# nats-server shows this in place of a token.
REDACTED = "[REDACTED]"


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
    subscriptions: int
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
        subscriptions=len(session.subscriptions),
        name=session.name or "",
        lang=session.lang or "",
        version=session.version or "",
        tls_version=tls_version.removeprefix("TLSv"),
        cipher=cipher,
        user=user_of(connection),
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

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[ConnectionRecord]:
        """The oldest first."""
        return iter(self._records)

    def add(self, record: ConnectionRecord) -> None:
        """Add a record, and forget the oldest ones past the limits."""
        self._records.append(record)
        self._bytes += record.size
        while len(self._records) > MAX_CLOSED or self._bytes > MAX_CLOSED_BYTES:
            self._bytes -= self._records.popleft().size
