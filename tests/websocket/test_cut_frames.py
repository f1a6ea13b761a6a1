"""Messages split into frames at any place, and bytes that are not frames."""

import socket
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS
from tests.support.websocket_client import BINARY, CONTINUATION, PING, TEXT, WebWire, frame

Start = Callable[..., Broker]


SESSION = (
    b"SUB s 1\r\nPUB s 5\r\nhello\r\nHPUB s 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB s 0\r\n\r\nUNSUB 1\r\nPING\r\n"
)
REPLIES = b"MSG s 1 5\r\nhello\r\nHMSG s 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG s 1 0\r\n\r\nPONG\r\n"


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
def test_a_message_may_be_split_anywhere(ws_broker: Broker, opcode: int) -> None:
    with WebWire(ws_broker.ws_port) as wire:
        for at in range(len(SESSION) + 1):
            wire.frames(frame(opcode, SESSION[:at], final=False), frame(CONTINUATION, SESSION[at:]))
            assert wire.take(len(REPLIES)) == REPLIES
            wire.frames(frame(opcode, SESSION[:at]))
            wire.frames(frame(opcode, SESSION[at:]))
            assert wire.take(len(REPLIES)) == REPLIES
        whole = frame(opcode, SESSION)
        for at in range(len(whole)):
            wire.frames(whole[:at])
            wire.frames(whole[at:])
            assert wire.take(len(REPLIES)) == REPLIES


@given(st.data())
@settings(max_examples=100)
def test_any_split_into_frames_and_packets_gives_the_same_session(
    ws_broker: Broker, data: st.DataObject
) -> None:
    """The bytes of a session in any frames, with pings between them, and the frames in any packets."""
    stream = SESSION * data.draw(st.integers(1, 5), "sessions")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20), "cuts"))
    sent, pings, open_message = [], 0, False
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        opcode = CONTINUATION if open_message else data.draw(st.sampled_from([BINARY, TEXT]))
        final = end == len(stream) or data.draw(st.booleans())
        sent.append(frame(opcode, stream[start:end], final=final))
        open_message = not final
        if data.draw(st.booleans()):
            sent.append(frame(PING, b"%d" % pings))
            pings += 1
    wire_bytes = b"".join(sent)
    packets = sorted(data.draw(st.sets(st.integers(0, len(wire_bytes)), max_size=10), "packets"))
    with WebWire(ws_broker.ws_port) as wire:
        for start, end in zip([0, *packets], [*packets, len(wire_bytes)], strict=True):
            wire.frames(wire_bytes[start:end])
        expected = REPLIES * (len(stream) // len(SESSION))
        assert wire.take(len(expected)) == expected
        wire.ping()
        assert wire.socket.pongs == sorted(set(wire.socket.pongs), key=int)
        assert wire.socket.pongs[-1:] == ([b"%d" % (pings - 1)] if pings else [])


@given(st.lists(st.binary(max_size=40), max_size=10))
@settings(max_examples=200)
def test_any_bytes_instead_of_frames_close_the_connection(ws_broker: Broker, junk: list[bytes]) -> None:
    with WebWire(ws_broker.ws_port, None) as wire:
        wire.frames(*junk)
        wire.socket.raw.shutdown(socket.SHUT_WR)
        assert wire.closed(WAIT_SECONDS)


def test_frames_after_connect_wait_while_a_bcrypt_hash_is_checked(
    start_broker: Start, tmp_path: Path
) -> None:
    """Checking a hash takes longer than a turn. What the client sends meanwhile, in any number of reads, is
    kept."""
    hashed = bcrypt.hashpw(b"slow", bcrypt.gensalt(10)).decode()
    config = tmp_path / "mq9.toml"
    config.write_text(f'[[users]]\nuser = "ann"\npassword = "{hashed}"\n')
    connect = b'CONNECT {"user":"ann","pass":"%s","verbose":false,"headers":true}\r\n'
    flood = b"PUB nobody 1000\r\n" + b"x" * 1000 + b"\r\n"
    broker = start_broker("--ws-port", "0", "--config", str(config))
    with WebWire(broker.ws_port, None) as wire, WebWire(broker.ws_port, None) as wrong:
        wire.frames(frame(BINARY, connect % b"slow" + SESSION[:10]), frame(BINARY, SESSION[10:]))
        wrong.frames(frame(BINARY, connect % b"Slow" + SESSION))
        for _ in range(5):
            wire.frames(*[frame(BINARY, flood * 10 + flood[:7]), frame(TEXT, flood[7:])] * 50)
        assert wire.take(len(REPLIES), WAIT_SECONDS) == REPLIES
        wire.ping(WAIT_SECONDS)
        assert wrong.closed(WAIT_SECONDS)
        assert wrong.unread == b"-ERR 'Authorization Violation'\r\n"
