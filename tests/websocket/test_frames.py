"""Frames and goodbyes, as nats-server has them."""

import struct

import pytest

from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS
from tests.support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebWire, frame
from tests.websocket.conftest import Ports

LAST_PING = frame(BINARY, b"PING\r\n")
PONG_LINE = b"PONG\r\n"
GOOD_FRAMES = {
    "binary": ([frame(BINARY, b"PING\r\n")], PONG_LINE),
    "text": ([frame(TEXT, b"PING\r\n")], PONG_LINE),
    "two operations in one": ([frame(BINARY, b"PING\r\nPING\r\n")], PONG_LINE * 2),
    "an operation in two messages": ([frame(BINARY, b"PI"), frame(TEXT, b"NG\r\n")], PONG_LINE),
    "an operation in fragments": (
        [frame(BINARY, b"PI", final=False), frame(CONTINUATION, b"NG", final=False), frame(0, b"\r\n")],
        PONG_LINE,
    ),
    "empty frames": (
        [
            *(frame(BINARY), frame(BINARY, final=False), frame(CONTINUATION, final=False)),
            *(frame(CONTINUATION), frame(TEXT, b"PING\r\n")),
        ],
        PONG_LINE,
    ),
    "a ping amid fragments": (
        [frame(BINARY, b"PI", final=False), frame(PING, b"x"), frame(CONTINUATION, b"NG\r\n")],
        PONG_LINE,
    ),
    "a pong that nobody asked for": ([frame(PONG, b"x"), LAST_PING], PONG_LINE),
}


@pytest.mark.parametrize("name", GOOD_FRAMES)
def test_frames_are_taken_as_by_nats_server(ports: Ports, name: str) -> None:
    sent, expected = GOOD_FRAMES[name]
    with WebWire(ports.open) as wire:
        wire.frames(*sent)
        assert wire.take(len(expected)) == expected
        wire.ping()


def test_a_ping_is_answered_with_what_it_brought(ports: Ports) -> None:
    with WebWire(ports.open) as wire:
        wire.frames(frame(PING, b"x" * 125), LAST_PING)
        wire.ping() if wire.line() == "PONG" else None
        assert wire.socket.pongs == [b"x" * 125]


def closing(port: int, *sent: bytes, connect: dict[str, str] | None = None) -> WebWire:
    """A connection that was closed on after `sent`, with what it heard in `unread` and `close_code`."""
    with WebWire(port, connect) as wire:
        wire.frames(*sent)
        assert wire.closed(WAIT_SECONDS)
        return wire


BAD_FRAMES = {
    "unmasked": ([frame(BINARY, b"PING\r\n", masked=False)], 1002),
    "reserved bit 1": ([frame(BINARY | 0x40, b"PING\r\n")], 1002),
    "reserved bit 2": ([frame(BINARY | 0x20, b"PING\r\n")], 1002),
    "unknown data": ([frame(0x3, b"x")], 1002),
    "unknown control": ([frame(0xB, b"x")], 1002),
    "the rest of nothing": ([frame(CONTINUATION, b"PING\r\n")], 1002),
    "a message amid another": ([frame(BINARY, b"PI", final=False), frame(BINARY, b"NG\r\n")], 1002),
    "a ping in fragments": ([frame(PING, b"x", final=False)], 1002),
    "a ping that is too long": ([frame(PING, b"x" * 126)], 1002),
    "a size past all bounds": ([frame(BINARY, b"PING\r\n", size=2**64 - 1)], 1002),
    "a goodbye": ([frame(CLOSE, struct.pack("!H", 1000) + b"bye")], 1000),
    "a goodbye of the peer's own": ([frame(CLOSE, struct.pack("!H", 4000))], 4000),
    "a goodbye without a code": ([frame(CLOSE)], 1005),
    "a goodbye with a bad reason": ([frame(CLOSE, struct.pack("!H", 1000) + b"\xff")], 1007),
    "no protocol": ([frame(BINARY, b"-ERR 'x'\r\n")], 1002),
    "a long line": ([frame(BINARY, b"PUB " + b"a" * 5000)], 1008),
    "a large message": ([frame(BINARY, b'CONNECT {"verbose":false}\r\nPUB a 2000000\r\n')], 1009),
    "a strange CONNECT": ([frame(BINARY, b'CONNECT {"protocol":5}\r\n')], 1002),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_connections_are_closed_as_by_nats_server(server: str, ports: Ports, name: str) -> None:
    sent, code = BAD_FRAMES[name]
    wire = closing(ports.open, *sent)
    # nats-server does not always get to say goodbye.
    if server == "mq9fast" or wire.socket.close_code is not None:
        assert wire.close_code[0] == code
    assert b"PONG" not in wire.unread
    with WebWire(ports.open) as other:
        other.ping()


LAST_WORDS = {
    "a wrong token": (frame(BINARY, b'CONNECT {"auth_token":"x"}\r\n'), b"Authorization Violation", 1008),
    "something before CONNECT": (LAST_PING, b"Authorization Violation", 1008),
    "no CONNECT": (b"", b"Authentication Timeout", 1008),
    "no word": (frame(BINARY, b'CONNECT {"auth_token":"secret"}\r\n'), b"Stale Connection", 1001),
}


@pytest.mark.parametrize("name", LAST_WORDS)
def test_last_words_come_before_the_goodbye(server: str, ports: Ports, name: str) -> None:
    sent, words, code = LAST_WORDS[name]
    wire = closing(ports.strict, sent)
    assert wire.unread.endswith(b"-ERR '" + words + b"'\r\n")
    if server == "mq9fast" or wire.socket.close_code is not None:
        assert wire.close_code[0] == code


def test_what_nats_server_takes_against_the_rules_is_refused(ws_broker: Broker) -> None:
    assert closing(ws_broker.ws_port, frame(TEXT, b"PUB a 1\r\n\xff\r\n")).close_code[0] == 1007
    longer_than_needed = b"\x82\xfe\x00\x06" + bytes(4) + b"PING\r\n"
    assert closing(ws_broker.ws_port, longer_than_needed).close_code[0] == 1002


@pytest.mark.parametrize("payload", [b"x", struct.pack("!H", 1005), struct.pack("!H", 999)])
def test_a_goodbye_that_means_nothing_is_an_error(ws_broker: Broker, payload: bytes) -> None:
    assert closing(ws_broker.ws_port, frame(CLOSE, payload)).close_code[0] == 1002


def test_what_was_asked_before_the_goodbye_is_answered(ports: Ports) -> None:
    with WebWire(ports.open) as wire:
        wire.frames(frame(BINARY, b"SUB a 1\r\nPUB a 1\r\nx\r\n"), frame(CLOSE, struct.pack("!H", 1000)))
        assert wire.closed(WAIT_SECONDS)
        assert wire.unread == b"MSG a 1 1\r\nx\r\n"


def test_nothing_is_taken_after_the_goodbye(ws_broker: Broker) -> None:
    with WebWire(ws_broker.ws_port) as other:
        other.sub("after")
        other.ping()
        late = frame(BINARY, b"PUB after 1\r\nx\r\n")
        closing(ws_broker.ws_port, frame(CLOSE, struct.pack("!H", 1000)), late)
        closing(ws_broker.ws_port, frame(BINARY, b"", masked=False), late)
        other.ping()
        assert not other.received
