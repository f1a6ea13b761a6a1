"""Binds sockets to all addresses of a host and to one port, and formats addresses.

`server/` and `monitoring/http.py` listen with it; other modules of `network/` format addresses with
it. It touches nothing but the sockets that it opens.
"""

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from mq9fast.errors import StartError

log = logging.getLogger("mq9fast.listen")

# Hosts that mean every IPv4 and IPv6 address, as on nats-server; without IPv6, every IPv4 address.
EVERY_ADDRESS = {"0.0.0.0", "::"}
MAPPED_PREFIX = "::ffff:"
UNKNOWN_PEER = ("", 0)
# Connections that the system keeps until the broker accepts them.
BACKLOG = 4096
# Errors for an address family or an address that the system does not have.
ABSENT = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
# A port that is free on one address may be in use on another. Then another port is tried, up to this many
# times.
MAX_TRIES = 20


async def listen(
    protocol: Callable[[], asyncio.BaseProtocol], host: str, port: int, setting: str = "port", **options: Any
) -> list[asyncio.Server]:
    """Bind `port` (0 for a free one) on each address of `host`, without accepting connections yet.

    `setting` is the name of the setting that the port comes from. `options` go to create_server. Raises
    StartError.
    """
    loop = asyncio.get_running_loop()
    bound: list[socket.socket] = []
    try:
        bound = bind(host, port)
        return [
            await loop.create_server(protocol, sock=each, start_serving=False, **options) for each in bound
        ]
    except OSError as error:
        for each in bound:
            each.close()
        reason = f"{error.strerror or error}; check {setting.replace('port', 'host')} and {setting}"
        if error.errno == errno.EADDRINUSE:
            reason = f"another process uses this port; stop it, or change {setting}"
        raise StartError(f"cannot listen on {in_url(host)}:{port}: {reason}") from error


def port_of(listeners: list[asyncio.Server]) -> int:
    """The port that these servers are bound to."""
    return int(listeners[0].sockets[0].getsockname()[1])


def in_url(host: str) -> str:
    """A host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind a socket to each address of `host`, all to the same `port` (0 for a free one), without listening.

    Raises OSError.
    """
    if host in EVERY_ADDRESS:
        try:
            return [_bind(socket.AF_INET6, ("::", port), both_families=True)]
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            log.info("the system has no IPv6: listening on IPv4 only")
        return [_bind(socket.AF_INET, ("0.0.0.0", port))]
    # As bytes, the host does not pass Python's codec for international names, which takes long to import.
    name = host.encode() if host.isascii() else host
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    tries = MAX_TRIES if port == 0 else 1
    while True:
        tries -= 1
        try:
            return _bind_all(addresses)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or tries == 0:
                raise


def _bind_all(addresses: Sequence[tuple[int, Any]]) -> list[socket.socket]:
    """Bind to each address that the system has. All get the port of the first."""
    bound: list[socket.socket] = []
    absent: OSError | None = None
    for family, (host, port, *rest) in addresses:
        try:
            bound.append(_bind(family, (host, bound[0].getsockname()[1] if bound else port, *rest)))
        except OSError as error:
            if error.errno in ABSENT:
                absent = error
                continue
            for each in bound:
                each.close()
            raise
    if absent is not None and not bound:
        raise absent
    return bound


def _bind(family: int, address: Any, *, both_families: bool = False) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both_families)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened


def address_text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address as text: an IPv4-mapped IPv6 address as the IPv4 address."""
    return str(getattr(address, "ipv4_mapped", None) or address)


def peer_of(name: Any) -> tuple[str, int]:
    """Address and port of a peer, from `getpeername()`: an IPv4-mapped address as the IPv4 address."""
    host, port, *_ = name or UNKNOWN_PEER
    return (host.removeprefix(MAPPED_PREFIX) if "." in host else host, port)
