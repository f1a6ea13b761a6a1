"""Sockets to listen on: which addresses a host stands for, and one port for all of them."""

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from mq9fast.errors import StartError

log = logging.getLogger("mq9fast.listen")

# Every address of both families, as on nats-server. A system without IPv6 has those of IPv4.
EVERY_ADDRESS = {"0.0.0.0", "::"}
MAPPED = "::ffff:"
UNKNOWN_PEER = ("", 0)
# What the system says of a family or an address that it does not have.
ABSENT = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
# A free port of one address may be taken on another: so often another one is tried.
MAX_TRIES = 20


async def listen(
    protocol: Callable[[], asyncio.BaseProtocol], host: str, port: int, name: str = "port", **options: Any
) -> list[asyncio.Server]:
    """Take a port on each address of `host`, without serving on it yet; 0 is a free one.

    `options` go to create_server. Raises StartError, which calls the port by its `name`.
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
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"{name} {port} of {host} is in use") from error
        raise StartError(f"cannot listen on {in_url(host)}:{port}: {error.strerror or error}") from error


def port_of(listeners: list[asyncio.Server]) -> int:
    """The port that they have taken."""
    return int(listeners[0].sockets[0].getsockname()[1])


def in_url(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind a socket to each address of `host`, all to the same port; 0 takes a free one. None listens yet.

    Raises OSError.
    """
    if host in EVERY_ADDRESS:
        try:
            return [_bind(socket.AF_INET6, ("::", port), both_families=True)]
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            log.info("there is no IPv6 here: listening on IPv4 only")
        return [_bind(socket.AF_INET, ("0.0.0.0", port))]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
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
    """Bind to those of the addresses that the system has, and to the port of the first."""
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


def shown(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address as it is shown: a mapped IPv4 address as IPv4."""
    return str(getattr(address, "ipv4_mapped", None) or address)


def peer_of(name: Any) -> tuple[str, int]:
    """Address and port of a peer, given its socket's name; a mapped IPv4 address is shown as IPv4."""
    host, port, *_ = name or UNKNOWN_PEER
    return (host.removeprefix(MAPPED) if "." in host else host, port)
