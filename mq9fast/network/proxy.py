"""The PROXY protocol, versions 1 and 2: the address of a client that connects through a TCP proxy.

The proxy sends one header before the first byte of its client. The broker trusts it. The format is HAProxy's
(proxy-protocol.txt). `admission.py` receives the header with this module, before anything else reads the
socket.
"""

import asyncio
import ipaddress
import re
import socket
import struct
from typing import NamedTuple

from mq9fast.network.listen import address_text
from mq9fast.network.socket_options import wait_readable

V1_SIGNATURE = b"PROXY "
V1_MAX_BYTES = 107
V1_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2_FIXED = struct.Struct("!12sBBH")
# The addresses in a header of version 2: client, proxy, and their ports.
V2_IPV4 = struct.Struct("!4s4sHH")
V2_IPV6 = struct.Struct("!16s16sHH")
V2_LOCAL, V2_PROXY = 0x20, 0x21
V2_UNSPECIFIED, V2_TCP4, V2_TCP6 = 0x00, 0x11, 0x21
# The variable part of a version 2 header follows the fixed one. Proxies put at most some hundreds of bytes
# about TLS there.
V2_MAX_VARIABLE_BYTES = 4096


class ProxyError(Exception):
    """The header is missing or invalid. The text is a clause that says why."""


class Header(NamedTuple):
    """A complete header: its size in bytes, and the client's address; None if the peer is the client."""

    size: int
    client: tuple[str, int] | None


def parse_header(data: bytes) -> Header | None:
    """The header at the start of `data`. Returns None while bytes are missing. Raises ProxyError."""
    if data.startswith(V2_SIGNATURE[: len(data)]):
        return _read_v2(data)
    if data.startswith(V1_SIGNATURE[: len(data)]):
        return _read_v1(data)
    raise ProxyError("the connection does not start with a PROXY header")


def _read_v1(data: bytes) -> Header | None:
    line, end, _ = data[:V1_MAX_BYTES].partition(b"\n")
    if not end:
        if len(data) >= V1_MAX_BYTES:
            raise ProxyError(f"the header is longer than {V1_MAX_BYTES} bytes")
        return None
    if not line.endswith(b"\r"):
        raise ProxyError("the line of the header does not end with CR LF")
    size = len(line) + 1
    words = line[:-1].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Header(size, None)
    if len(words) != 6 or words[1] not in {"TCP4", "TCP6"}:
        raise ProxyError("the line of the header is not PROXY, TCP4 or TCP6, two addresses and two ports")
    _, family, client, proxy, client_port, proxy_port = words
    of_family = ipaddress.IPv4Address if family == "TCP4" else ipaddress.IPv6Address
    try:
        found = of_family(client)
        of_family(proxy)
    except ValueError:
        raise ProxyError(f"the header has an address that is not one of {family}") from None
    if "%" in client + proxy:
        raise ProxyError("the header has an address with a zone")
    for port in (client_port, proxy_port):
        if V1_PORT.fullmatch(port) is None or int(port) > 65535:
            raise ProxyError("the header has a port that is not a number from 0 to 65535")
    return Header(size, (address_text(found), int(client_port)))


def _read_v2(data: bytes) -> Header | None:
    if len(data) < V2_FIXED.size:
        return None
    _, command, family, length = V2_FIXED.unpack_from(data)
    if command not in {V2_LOCAL, V2_PROXY}:
        raise ProxyError(f"the version and command {command:#04x} of the header are unknown")
    if length > V2_MAX_VARIABLE_BYTES:
        raise ProxyError(f"the variable part of the header is longer than {V2_MAX_VARIABLE_BYTES} bytes")
    addresses = None
    if command == V2_PROXY and family != V2_UNSPECIFIED:
        addresses = {V2_TCP4: V2_IPV4, V2_TCP6: V2_IPV6}.get(family)
        if addresses is None:
            raise ProxyError(
                f"the address family {family:#04x} of the header is neither TCP over IPv4 nor over IPv6"
            )
        if length < addresses.size:
            raise ProxyError("the header is too short for its addresses")
    size = V2_FIXED.size + length
    if len(data) < size:
        return None
    if addresses is None:
        return Header(size, None)
    client, _, port, _ = addresses.unpack_from(data, V2_FIXED.size)
    return Header(size, (address_text(ipaddress.ip_address(client)), port))


async def receive_header(connection: socket.socket, seconds: float) -> tuple[str, int] | None:
    """Read the header from a non-blocking socket, and no byte after it.

    Returns the client's address and port, None if the peer is the client. Raises EOFError if the peer closes
    before its first byte, ProxyError if there is no valid header within `seconds`.
    """
    try:
        return await asyncio.wait_for(_receive_header(connection), seconds)
    except asyncio.TimeoutError:
        raise ProxyError(f"the header did not arrive within {seconds:g} seconds") from None
    except OSError as error:
        raise ProxyError(error.strerror or str(error)) from error


async def _receive_header(connection: socket.socket) -> tuple[str, int] | None:
    received = b""
    while True:
        await wait_readable(connection)
        try:
            # Look at the bytes first: those after the header must stay in the socket.
            ahead = connection.recv(V2_FIXED.size + V2_MAX_VARIABLE_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if not ahead and not received:
            raise EOFError
        if not ahead:
            raise ProxyError("the peer closed the connection in the middle of the header")
        header = parse_header(received + ahead)
        received += connection.recv(len(ahead) if header is None else header.size - len(received))
        if header is not None:
            return header.client
