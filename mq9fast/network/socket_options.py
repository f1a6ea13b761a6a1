"""Options and state of the kernel's sockets: keep-alive, TCP_NODELAY, unsent bytes, whether there is data to
read.

`connection.py` calls it for each client, and `admission.py` and `proxy.py` before a transport has the socket.
It touches only the socket that it gets.
"""

import asyncio
import fcntl
import socket
import struct
import termios

# The kernel's limit of unsent bytes for a client that subscribed to a mailbox. Without it the kernel accepts
# megabytes that the client cannot receive yet, and a message of a higher priority cannot overtake those.
# Plain subjects have no priorities, and large messages are a quarter faster without the limit.
UNSENT_BYTES = 262144
# Keep-alive detects a peer whose network is gone after 15 s * (1 + 9), if no data is in flight to it. These
# are Go's defaults, so nats-server's too. If data is in flight, pings detect it. TCP_USER_TIMEOUT would be
# faster, but also closes a live peer that does not read, and a client that reads mailboxes may do that.
KEEPALIVE_IDLE_SECONDS = 15
KEEPALIVE_INTERVAL_SECONDS = 15
KEEPALIVE_COUNT = 9

# By name, because no platform has all of them: TCP_KEEPALIVE is macOS's name of TCP_KEEPIDLE.
_OPTIONS = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": KEEPALIVE_IDLE_SECONDS,
    "TCP_KEEPALIVE": KEEPALIVE_IDLE_SECONDS,
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_SECONDS,
    "TCP_KEEPCNT": KEEPALIVE_COUNT,
}
OPTIONS = tuple((getattr(socket, name), value) for name, value in _OPTIONS.items() if hasattr(socket, name))


def set_tcp_options(connection: socket.socket | None) -> None:
    """Set TCP_NODELAY and keep-alive on a client's socket, if there is one and it is TCP."""
    if connection is None or not _is_tcp(connection):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in OPTIONS:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def limit_unsent_bytes(connection: socket.socket | None) -> None:
    """Limit unsent bytes in the kernel (TCP_NOTSENT_LOWAT), where supported."""
    if connection is not None and _is_tcp(connection) and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def unacked_bytes(connection: socket.socket | None) -> int:
    """Bytes that the kernel has and the peer has not acknowledged; 0 if the kernel does not say.

    It shows every segment that the peer receives. The transport's own buffer would not: the kernel makes a
    socket writable only when a third of its buffer of megabytes is free, which a slow peer needs long for.
    """
    if connection is None or not _is_tcp(connection):
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


async def wait_readable(connection: socket.socket) -> None:
    """Wait until a socket has data to read, or its peer has closed."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)


def _is_tcp(connection: socket.socket) -> bool:
    return connection.family in {socket.AF_INET, socket.AF_INET6}
