"""Headers of the PROXY protocol: any bytes, in any pieces."""

import asyncio
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast.network.proxy import (
    V2_FIXED,
    V2_MAX_VARIABLE_BYTES,
    Header,
    ProxyError,
    parse_header,
    receive_header,
)
from tests.support.in_memory import MANY
from tests.support.proxy_headers import BAD, GOOD, IPV4, V2, v2
from tests.support.waiting import WAIT_SECONDS

# nats-server accepts these; the specification does not.
ACCEPTED_BY_NATS_SERVER = [
    b"PROXY TCP4 1.2.3.4 5.6.7.8 01111 2222\r\n",
    b"PROXY TCP4  1.2.3.4 5.6.7.8 1111 2222\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222 \r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\n",
    b"PROXY TCP4 01.2.3.4 5.6.7.8 1111 2222\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1111 2222\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 \xb2\r\n",
    b"proxy TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n",
    b"CONNECT {}\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\r\n\r\n\x00\r\nQUIT\r\n",
    v2(0x21, 0x11, IPV4, V2_MAX_VARIABLE_BYTES + 1),
    v2(0x20, 0x00, b"", 65535),
]


@pytest.mark.parametrize(("data", "client"), GOOD.items(), ids=lambda value: repr(value)[:40])
def test_header_is_parsed_whatever_follows_it(data: bytes, client: tuple[str, int] | None) -> None:
    assert parse_header(data) == Header(len(data), client)
    assert parse_header(data + b"\r\nPROXY TCP4 ") == Header(len(data), client)
    assert [parse_header(data[:size]) for size in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize("data", [*BAD, *ACCEPTED_BY_NATS_SERVER], ids=repr)
def test_invalid_header_is_an_error(data: bytes) -> None:
    with pytest.raises(ProxyError):
        parse_header(data)


def test_unspecified_address_keeps_the_address_of_the_peer() -> None:
    """The specification says so for unknown address families; nats-server refuses them."""
    assert parse_header(v2(0x21, 0x00, b"abc")) == Header(19, None)


def test_header_over_the_longest_is_an_error() -> None:
    longest = v2(0x21, 0x11, IPV4 + b"x" * (V2_MAX_VARIABLE_BYTES - len(IPV4)))
    assert parse_header(longest) == Header(V2_FIXED.size + V2_MAX_VARIABLE_BYTES, ("1.2.3.4", 1111))
    # The broker refuses a longer header before all of it has arrived.
    with pytest.raises(ProxyError):
        parse_header(v2(0x21, 0x11, b"", V2_MAX_VARIABLE_BYTES + 1))
    with pytest.raises(ProxyError):
        parse_header(b"PROXY TCP4 " + b"1" * 96)


PIECES = st.sampled_from(
    [
        *(b"PROXY ", b"TCP4", b"TCP6", b"UNKNOWN", b" ", b"1.2.3.4", b"::1", b"1", b"\r", b"\n", b"\r\n"),
        *(V2, b"\x21", b"\x20", b"\x11", b"\x00\x0c", b"\x00\x24", IPV4, b"x", b"\x00"),
        *GOOD,
    ]
)


@MANY
@given(st.binary(max_size=300) | st.lists(PIECES, max_size=14).map(b"".join))
@example(b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n")
def test_more_bytes_do_not_change_a_result(data: bytes) -> None:
    """Once the first bytes have a result, further bytes do not change it. No other exception is raised."""
    said: Header | str | None = None
    for size in range(len(data) + 1):
        try:
            now: Header | str | None = parse_header(data[:size])
        except ProxyError as error:
            now = str(error)
        if isinstance(now, Header):
            assert now.size <= size
        assert said is None or now == said
        said = now


@pytest.mark.parametrize("data", GOOD, ids=repr)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_bytes_after_the_header_stay_on_the_socket(data: bytes, step: int) -> None:
    async def take() -> tuple[str, int] | None:
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            work = asyncio.ensure_future(receive_header(near, WAIT_SECONDS))
            sent = data + b"CONNECT {}\r\n"
            for at in range(0, len(sent), step):
                far.sendall(sent[at : at + step])
                await asyncio.sleep(0)
            found = await work
            far.close()
            assert near.recv(100) + near.recv(100) == b"CONNECT {}\r\n"
            return found

    assert asyncio.run(take()) == GOOD[data]


def test_incomplete_header_is_an_error_at_the_end_or_the_timeout() -> None:
    async def take(said: bytes, *, leaves: bool) -> None:
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            far.sendall(said)
            if leaves:
                far.close()
            await receive_header(near, WAIT_SECONDS if leaves else 0.01)

    with pytest.raises(EOFError):
        asyncio.run(take(b"", leaves=True))
    with pytest.raises(ProxyError, match="the peer closed the connection in the middle of the header"):
        asyncio.run(take(b"PROXY TCP4", leaves=True))
    for said in (b"", b"PROXY TCP4", V2):
        with pytest.raises(ProxyError, match=r"the header did not arrive within 0\.01 seconds"):
            asyncio.run(take(said, leaves=False))
