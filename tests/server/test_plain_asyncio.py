"""Without uvloop, the broker runs on asyncio's own event loop."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.waiting import WAIT_SECONDS
from tests.support.websocket_client import WebWire
from tests.support.wire_client import Wire, read_to_the_end

Start = Callable[..., Broker]


@pytest.fixture
def start_plain(start_broker: Start, tmp_path: Path) -> Start:
    """Start brokers that cannot import uvloop."""
    (tmp_path / "uvloop.py").write_text('raise ImportError("there is no uvloop")')
    return lambda *flags: start_broker(*flags, env={"PYTHONPATH": str(tmp_path)})


def connect(broker: Broker) -> socket.socket:
    return socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS)


def test_broker_runs_without_uvloop(start_plain: Start) -> None:
    broker = start_plain("--monitor-port", "0", "--ws-port", "0")
    with Wire(broker.port) as wire, Wire(broker.port) as reader, WebWire(broker.ws_port) as web:
        wire.create(name="plain.loop")
        for number in range(3000):
            wire.pub("$mq9.AI.MAILBOX.MSG.plain.loop", f"{number}".rjust(400))
        wire.msg("plain.loop.critical", "first")
        reader.subscribe("plain.loop")
        replayed = reader.messages(3001)
        assert replayed[0].payload == b"first"
        assert [int(message.payload) for message in replayed[1:]] == list(range(3000))
        wire.msg("plain.loop", "live")
        assert reader.message().payload == b"live"
        web.subscribe("plain.loop")
        assert [message.msg_id for message in web.messages(3)] == [3000, 0, 1]
        assert wire.delete("plain.loop", 0) == {"deleted": True}
    assert broker.stop() == 0


@pytest.mark.parametrize("first", ["off", "on", "auto"])
def test_tls_works_without_uvloop(start_plain: Start, certificates: Certificates, first: str) -> None:
    broker = start_plain(
        *("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server")),
        *("--tls-handshake-first", first, "--auth-timeout", "2"),
    )
    with ExitStack() as stack:
        silent = stack.enter_context(connect(broker))
        clear = stack.enter_context(connect(broker))
        clear.sendall(b"PING\r\n")
        plain = stack.enter_context(connect(broker))
        if first == "off":
            assert plain.recv(65536).startswith(b"INFO ")
        with certificates.client_context().wrap_socket(plain, server_hostname="localhost") as peer:
            if first != "off":
                assert peer.recv(65536).startswith(b"INFO ")
            peer.sendall(b"PING\r\n")
            assert peer.recv(65536) == b"PONG\r\n"
            for other in (silent, clear):
                while data := other.recv(65536):
                    assert data.startswith(b"INFO ")
            peer.sendall(b"SUB a 1\r\n" + b"PUB a 1000\r\n%s\r\n" % (b"x" * 1000) * 500 + b"NO\r\n")
            received = read_to_the_end(peer)
            assert received.count(b"MSG a 1 1000\r\n") == 500
            assert received.endswith(b"-ERR 'Unknown Protocol Operation'\r\n")
    assert broker.stop() == 0
