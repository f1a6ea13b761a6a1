"""Frames and close frames, compared with nats-server."""

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
    "a pong without a ping": ([frame(PONG, b"x"), LAST_PING], PONG_LINE),
}


@pytest.mark.parametrize("name", GOOD_FRAMES)
def test_valid_frames_are_accepted_as_by_nats_server(ports: Ports, name: str) -> None:
    sent, expected = GOOD_FRAMES[name]
    with WebWire(ports.open) as wire:
        wire.frames(*sent)
        assert wire.take(len(expected)) == expected
        wire.ping()


def test_a_pong_has_the_payload_of_its_ping(ports: Ports) -> None:
    with WebWire(ports.open) as wire:
        wire.frames(frame(PING, b"x" * 125), LAST_PING)
        wire.ping() if wire.line() == "PONG" else None
        assert wire.socket.pongs == [b"x" * 125]


def closed_by(port: int, *sent: bytes, connect: dict[str, str] | None = None) -> WebWire:
    """Send frames until the server closes. `unread` and `close_code` are what the client received."""
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
    "a continuation of nothing": ([frame(CONTINUATION, b"PING\r\n")], 1002),
    "a message amid another": ([frame(BINARY, b"PI", final=False), frame(BINARY, b"NG\r\n")], 1002),
    "a ping in fragments": ([frame(PING, b"x", final=False)], 1002),
    "a ping that is too long": ([frame(PING, b"x" * 126)], 1002),
    "a size of 2**64 - 1": ([frame(BINARY, b"PING\r\n", size=2**64 - 1)], 1002),
    "a close frame": ([frame(CLOSE, struct.pack("!H", 1000) + b"bye")], 1000),
    "a close frame with an application's code": ([frame(CLOSE, struct.pack("!H", 4000))], 4000),
    "a close frame without a code": ([frame(CLOSE)], 1005),
    "a close frame whose reason is not UTF-8": ([frame(CLOSE, struct.pack("!H", 1000) + b"\xff")], 1007),
    "an unknown operation": ([frame(BINARY, b"-ERR 'x'\r\n")], 1002),
    "a long line": ([frame(BINARY, b"PUB " + b"a" * 5000)], 1008),
    "a large message": ([frame(BINARY, b'CONNECT {"verbose":false}\r\nPUB a 2000000\r\n')], 1009),
    "an unknown protocol version": ([frame(BINARY, b'CONNECT {"protocol":5}\r\n')], 1002),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames_close_the_connection_as_on_nats_server(server: str, ports: Ports, name: str) -> None:
    sent, code = BAD_FRAMES[name]
    wire = closed_by(ports.open, *sent)
    # nats-server does not always send its close frame in time.
    if server == "mq9fast" or wire.socket.close_event is not None:
        assert wire.close_code[0] == code
    assert b"PONG" not in wire.unread
    with WebWire(ports.open) as other:
        other.ping()


ERRORS = {
    "a wrong token": (frame(BINARY, b'CONNECT {"auth_token":"x"}\r\n'), b"Authorization Violation", 1008),
    "PING before CONNECT": (LAST_PING, b"Authorization Violation", 1008),
    "no CONNECT": (b"", b"Authentication Timeout", 1008),
    "no PONG": (frame(BINARY, b'CONNECT {"auth_token":"secret"}\r\n'), b"Stale Connection", 1001),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_error_comes_before_the_close_frame(server: str, ports: Ports, name: str) -> None:
    sent, error, code = ERRORS[name]
    wire = closed_by(ports.strict, sent)
    assert wire.unread.endswith(b"-ERR '" + error + b"'\r\n")
    if server == "mq9fast" or wire.socket.close_event is not None:
        assert wire.close_code[0] == code


def test_frames_that_only_nats_server_accepts_against_the_rfc_are_refused(ws_broker: Broker) -> None:
    assert closed_by(ws_broker.ws_port, frame(TEXT, b"PUB a 1\r\n\xff\r\n")).close_code[0] == 1007
    longer_than_needed = b"\x82\xfe\x00\x06" + bytes(4) + b"PING\r\n"
    assert closed_by(ws_broker.ws_port, longer_than_needed).close_code[0] == 1002


@pytest.mark.parametrize("payload", [b"x", struct.pack("!H", 1005), struct.pack("!H", 999)])
def test_an_invalid_close_frame_is_a_protocol_error(ws_broker: Broker, payload: bytes) -> None:
    assert closed_by(ws_broker.ws_port, frame(CLOSE, payload)).close_code[0] == 1002


def test_operations_before_the_close_frame_are_answered(ports: Ports) -> None:
    with WebWire(ports.open) as wire:
        wire.frames(frame(BINARY, b"SUB a 1\r\nPUB a 1\r\nx\r\n"), frame(CLOSE, struct.pack("!H", 1000)))
        assert wire.closed(WAIT_SECONDS)
        assert wire.unread == b"MSG a 1 1\r\nx\r\n"


def test_operations_after_the_close_frame_are_ignored(ws_broker: Broker) -> None:
    with WebWire(ws_broker.ws_port) as other:
        other.sub("after")
        other.ping()
        late = frame(BINARY, b"PUB after 1\r\nx\r\n")
        closed_by(ws_broker.ws_port, frame(CLOSE, struct.pack("!H", 1000)), late)
        closed_by(ws_broker.ws_port, frame(BINARY, b"", masked=False), late)
        other.ping()
        assert not other.received
