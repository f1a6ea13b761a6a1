"""What the broker asks of the system for its connections."""

import fcntl
import socket
import struct
import termios

# Bytes that may wait in the kernel for a reader of mailboxes: it would otherwise take megabytes that the peer
# has no room for yet, and what it has taken can no longer be overtaken by what is more urgent. Plain subjects
# know no urgency, and large messages are faster by a quarter without.
UNSENT_BYTES = 262144
# A peer that is gone without a word, its cable cut, is found out after 15 s * (1 + 9) while nothing is on its
# way to it: Go's figures, and so nats-server's. Where something is, pings find it out. TCP_USER_TIMEOUT would
# be sooner, but also cuts off a peer that lives and takes nothing, as a reader of mailboxes may.
KEEPALIVE_IDLE_SECONDS = 15
KEEPALIVE_INTERVAL_SECONDS = 15
KEEPALIVE_COUNT = 9

# By name, because platforms have some of them each; macOS calls the first by another name.
_OPTIONS = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": KEEPALIVE_IDLE_SECONDS,
    "TCP_KEEPALIVE": KEEPALIVE_IDLE_SECONDS,
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_SECONDS,
    "TCP_KEEPCNT": KEEPALIVE_COUNT,
}
OPTIONS = tuple((getattr(socket, name), value) for name, value in _OPTIONS.items() if hasattr(socket, name))


def tune(connection: socket.socket | None) -> None:
    """Set the options of a client's TCP connection; None where there is none."""
    if connection is None or not _is_tcp(connection):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in OPTIONS:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def limit_unsent_bytes(connection: socket.socket | None) -> None:
    """Limit unsent bytes in the kernel for a reader of mailboxes (TCP_NOTSENT_LOWAT), where supported."""
    if connection is not None and _is_tcp(connection) and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def unacked_bytes(connection: socket.socket | None) -> int:
    """What the kernel has and the peer has not acknowledged; 0 where the system does not tell.

    A transport hears that there is room only when a third of the kernel's megabytes is free, which a slow
    reader may take longer over than it may stand still; here every segment it takes shows.
    """
    if connection is None or not _is_tcp(connection):
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


def _is_tcp(connection: socket.socket) -> bool:
    return connection.family in {socket.AF_INET, socket.AF_INET6}
