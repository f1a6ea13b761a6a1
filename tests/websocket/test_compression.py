"""permessage-deflate as nats-server offers it, and a message that would become too large."""

import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.core.test_compressed_frames import compressed_frame, deflated
from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import BINARY, CONTINUATION, FramedSocket, WebWire, frame, request
from tests.websocket.conftest import Ports
from tests.websocket.test_upgrade import response_head

Start = Callable[..., Broker]
StartWebSocket = Callable[..., int]
OFFER = "permessage-deflate"
PARAMETERS = b"server_no_context_takeover; client_no_context_takeover"
ACCEPTED = b"sec-websocket-extensions: permessage-deflate; " + PARAMETERS
MEGABYTE = 1 << 20


class InflatingSocket(FramedSocket):
    """Reads compressed messages too. `compressed`: how many there were."""

    compressed = 0
    buffered = b""

    def _receive(self, data: bytes) -> None:
        self.buffered += data
        while len(self.buffered) > 1:
            size, at = self.buffered[1], 2
            if size > 125:
                at = 4 if size == 126 else 10
                size = int.from_bytes(self.buffered[2:at], "big")
            if len(self.buffered) < at + size:
                return
            whole, self.buffered = self.buffered[: at + size], self.buffered[at + size :]
            if whole[0] & 0x40:
                self.compressed += 1
                payload = zlib.decompress(whole[at:] + b"\x00\x00\xff\xff\x01\x00\x00\xff\xff", -15)
                before, self._unread = self._unread, b""
                self._unread = before + payload
            else:
                before = self._unread
                super()._receive(whole)
                self._unread = before + self._unread


class InflatingWire(WebWire):
    socket: InflatingSocket

    def open(self, port: int, receive_bytes: int) -> InflatingSocket:
        raw = super(WebWire, self).open(port, receive_bytes)
        return InflatingSocket(raw, Sec_WebSocket_Extensions=OFFER)


@pytest.fixture
def port(start_websocket: StartWebSocket) -> int:
    return start_websocket(["--ws-compression"], "no_tls: true, compression: true")


@pytest.fixture
def wire(port: int) -> Iterator[InflatingWire]:
    with InflatingWire(port) as wire:
        yield wire


@pytest.mark.parametrize(
    ("offer", "accepted"),
    [
        (OFFER, True),
        ("permessage-deflate; client_max_window_bits", True),
        ("x-other, Permessage-Deflate; client_no_context_takeover; server_no_context_takeover", True),
        ("x-webkit-deflate-frame", False),
        (None, False),
    ],
)
def test_an_offer_is_answered_as_by_nats_server(port: int, offer: str | None, accepted: bool) -> None:
    head = response_head(port, request(Sec_WebSocket_Extensions=offer)).lower()
    assert (ACCEPTED in head.split(b"\r\n")) is accepted
    assert (b"extensions" in head) is accepted


def test_an_offer_that_limits_the_window_of_the_broker_is_declined(start_broker: Start) -> None:
    """nats-server accepts it, and its client must then close the connection."""
    broker = start_broker("--ws-port", "0", "--ws-compression")
    limited = "permessage-deflate; server_max_window_bits=10"
    for offer, accepted in ((limited, False), (f"{limited}, {OFFER}", True)):
        head = response_head(broker.ws_port, request(Sec_WebSocket_Extensions=offer)).lower()
        assert (ACCEPTED in head.split(b"\r\n")) is accepted


def test_messages_are_compressed_in_both_directions(wire: InflatingWire) -> None:
    wire.sub("a")
    wire.ping()
    before = wire.socket.compressed
    payload = bytes(range(256)) * 1000
    operation = b"PUB a %d\r\n%b\r\n" % (len(payload), payload)
    wire.frames(compressed_frame(operation))
    assert wire.message(WAIT_SECONDS).payload == payload
    # In fragments, and cut within the protocol of NATS.
    sent = deflated(operation[:2000])
    wire.frames(frame(BINARY | 0x40, sent[:5], final=False), frame(CONTINUATION, sent[5:]))
    wire.frames(frame(BINARY, operation[2000:]))
    assert wire.message(WAIT_SECONDS).payload == payload
    assert wire.socket.compressed >= before + 2


def test_short_messages_are_not_compressed(wire: InflatingWire) -> None:
    wire.ping()
    before = wire.socket.compressed
    wire.ping()
    wire.frames(compressed_frame(b"PING\r\n"))
    assert wire.line(WAIT_SECONDS) == "PONG"
    assert wire.socket.compressed == before


BAD = {
    "cannot be inflated": frame(BINARY | 0x40, b"\xff\xff\xff\xff"),
    "a compressed continuation": frame(BINARY, b"PI", final=False) + frame(0x40, b"NG\r\n"),
    "a compressed ping": frame(0x49, b"x"),
    "too large": compressed_frame(b"PUB a 900000\r\n" + bytes(3 * MEGABYTE)),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_messages_close_the_connection_as_on_nats_server(port: int, name: str) -> None:
    with InflatingWire(port) as wire, InflatingWire(port) as other:
        other.ping()
        wire.frames(BAD[name])
        assert wire.closed(WAIT_SECONDS)
        other.ping()


def test_a_bomb_gets_the_error_of_a_large_message_and_costs_no_memory(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--ws-compression")
    bomb = compressed_frame((b"PUB a 100000\r\n" + bytes(100_000) + b"\r\n") * 1000)
    assert len(bomb) < MEGABYTE
    with InflatingWire(broker.ws_port) as other:
        other.ping()
        before = broker.rss_bytes
        for _ in range(3):
            with InflatingWire(broker.ws_port) as wire:
                wire.frames(bomb)
                assert wire.closed(WAIT_SECONDS)
                assert wire.unread.endswith(b"-ERR 'Maximum Payload Violation'\r\n")
                assert wire.close_code == (1009, "Maximum Message Payload Exceeded")
        other.ping(WAIT_SECONDS)
        assert broker.rss_bytes - before < 20 * MEGABYTE


def test_the_largest_message_of_nats_may_be_compressed(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--ws-compression")
    with InflatingWire(broker.ws_port) as wire:
        wire.sub("a")
        wire.frames(compressed_frame(b"PUB a %d\r\n%b\r\n" % (MEGABYTE, bytes(MEGABYTE))))
        assert wire.message(WAIT_SECONDS).payload == bytes(MEGABYTE)


def test_it_is_off_by_default_and_a_reload_turns_it_on(
    start_broker: Start, tmp_path: Path, ports: Ports
) -> None:
    offer = request(Sec_WebSocket_Extensions=OFFER)
    assert b"extensions" not in response_head(ports.open, offer).lower()
    config = tmp_path / "mq9.toml"
    config.write_text("")
    broker = start_broker("--ws-port", "0", "--config", str(config))
    assert b"extensions" not in response_head(broker.ws_port, offer).lower()
    config.write_text("ws_compression = true\n")
    broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: b"extensions" in response_head(broker.ws_port, offer).lower())
