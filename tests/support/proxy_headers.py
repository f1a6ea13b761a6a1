"""PROXY headers as proxies send them."""

import socket
import struct

V2 = b"\r\n\r\n\x00\r\nQUIT\n"
IPV4 = socket.inet_aton("1.2.3.4") + socket.inet_aton("5.6.7.8") + struct.pack("!HH", 1111, 2222)
IPV6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + struct.pack("!HH", 1111, 2222)
)
MAPPED = (
    socket.inet_pton(socket.AF_INET6, "::ffff:1.2.3.4")
    + socket.inet_pton(socket.AF_INET6, "::ffff:5.6.7.8")
    + struct.pack("!HH", 1111, 2222)
)
# A type-length-value field, as proxies add for TLS or the network.
MORE = b"\x03\x00\x04abcd"


def v2(command: int, family: int, body: bytes = b"", length: int | None = None) -> bytes:
    """A header of version 2. `length` is the body length that it states."""
    return V2 + struct.pack("!BBH", command, family, len(body) if length is None else length) + body


# Each valid header with the client address in it; None: the address of the peer stays.
GOOD = {
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n": ("1.2.3.4", 1111),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": ("255.255.255.255", 65535),
    b"PROXY TCP6 2001:db8::1 ::1 1111 2222\r\n": ("2001:db8::1", 1111),
    b"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 1111 2222\r\n": ("1.2.3.4", 1111),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": None,
    b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n": None,
    v2(0x21, 0x11, IPV4): ("1.2.3.4", 1111),
    v2(0x21, 0x11, IPV4 + MORE): ("1.2.3.4", 1111),
    v2(0x21, 0x21, IPV6): ("2001:db8::1", 1111),
    v2(0x21, 0x21, MAPPED): ("1.2.3.4", 1111),
    v2(0x20, 0x00): None,
    v2(0x20, 0x11, IPV4): None,
    v2(0x20, 0x31, b"x" * 216): None,
}
BAD = [
    b"PROXY TCP4 ::1 ::1 1111 2222\r\n",
    b"PROXY TCP6 1.2.3.4 5.6.7.8 1111 2222\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2222\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 -1\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222 3333\r\n",
    b"PROXY TCP4 1.2.3 5.6.7.8 1111 2222\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 x\r\n",
    b"PROXY UDP4 1.2.3.4 5.6.7.8 1111 2222\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    v2(0x21, 0x12, IPV4),
    v2(0x21, 0x22, IPV6),
    v2(0x21, 0x31, b"x" * 216),
    v2(0x21, 0x11, IPV4[:-1]),
    v2(0x21, 0x21, IPV6[:-1]),
    v2(0x22, 0x11, IPV4),
    v2(0x31, 0x11, IPV4),
    v2(0x11, 0x11, IPV4),
    V2[:-1] + b"x" + v2(0x21, 0x11, IPV4)[12:],
]
