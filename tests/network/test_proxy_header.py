"""Headers of the PROXY protocol: any bytes, in any pieces."""

import asyncio
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast.network.proxy import V2_FIXED, V2_MAX_BYTES, Header, ProxyError, parse_header, receive_header
from tests.support.in_memory import MANY
from tests.support.proxy_headers import BAD, GOOD, IPV4, V2, v2
from tests.support.waiting import WAIT_SECONDS

# nats-server takes these as they are; by the specification they are none.
LOOSE = [
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
    v2(0x21, 0x11, IPV4, V2_MAX_BYTES + 1),
    v2(0x20, 0x00, b"", 65535),
]


@pytest.mark.parametrize(("data", "client"), GOOD.items(), ids=lambda value: repr(value)[:40])
def test_a_header_is_read_whatever_is_behind_it(data: bytes, client: tuple[str, int] | None) -> None:
    assert parse_header(data) == Header(len(data), client)
    assert parse_header(data + b"\r\nPROXY TCP4 ") == Header(len(data), client)
    assert [parse_header(data[:size]) for size in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize("data", [*BAD, *LOOSE], ids=repr)
def test_what_is_no_header(data: bytes) -> None:
    with pytest.raises(ProxyError):
        parse_header(data)


def test_unspecified_addresses_leave_the_peer_as_it_is() -> None:
    """The specification has it so for families that a proxy does not know; nats-server refuses it."""
    assert parse_header(v2(0x21, 0x00, b"abc")) == Header(19, None)


def test_the_longest_header() -> None:
    longest = v2(0x21, 0x11, IPV4 + b"x" * (V2_MAX_BYTES - len(IPV4)))
    assert parse_header(longest) == Header(V2_FIXED.size + V2_MAX_BYTES, ("1.2.3.4", 1111))
    # One that would be longer is refused before it came.
    with pytest.raises(ProxyError):
        parse_header(v2(0x21, 0x11, b"", V2_MAX_BYTES + 1))
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
def test_any_bytes_are_read_alike_however_much_of_them_came(data: bytes) -> None:
    """Once it is said what they are, more bytes do not change it; and nothing else is raised."""
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
def test_what_is_behind_a_header_stays_on_the_socket(data: bytes, step: int) -> None:
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


def test_a_peer_that_leaves_or_says_nothing() -> None:
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
    with pytest.raises(ProxyError, match="the peer closed the connection in the middle of it"):
        asyncio.run(take(b"PROXY TCP4", leaves=True))
    for said in (b"", b"PROXY TCP4", V2):
        with pytest.raises(ProxyError, match=r"it did not arrive within 0\.01 seconds"):
            asyncio.run(take(said, leaves=False))
