"""Start and stop of the WebSocket port, and lame duck mode."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.config.settings import Settings
from mq9fast.errors import StartError
from mq9fast.network.websocket.origins import Origins
from tests.support.broker import Broker, start_error
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import WebWire, is_closed_without_data
from tests.support.wire_client import MAILBOX

Start = Callable[..., Broker]


def test_it_is_off_by_default(start_broker: Start) -> None:
    assert "WebSocket" not in start_broker().log.read_text()


def test_the_error_for_a_port_in_use_names_ws_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        error = start_error("--port", "0", "--ws-port", port, "--data-dir", tmp_path / "data")
    assert f"127.0.0.1:{port}: another process uses this port; stop it, or change ws_port" in error
    Broker(tmp_path / "data").end()


@pytest.mark.parametrize(
    "origin", ["example.org", "https://", "https://a.org/path", "https://a.org:x", "a,,b"]
)
def test_the_error_for_a_wrong_origin_names_ws_origins(tmp_path: Path, origin: str) -> None:
    with pytest.raises(StartError, match=r"^ws_origins: .* is not an origin"):
        Origins(Settings(ws_origins=origin))
    if origin == "example.org":
        data = ("--data-dir", tmp_path / "data")
        assert "example.org" in start_error("--port", "0", "--ws-port", "0", "--ws-origins", origin, *data)


def test_the_log_warns_if_any_web_page_may_connect(start_broker: Start) -> None:
    warning = "any web page"
    assert warning in start_broker("--ws-port", "0").log.read_text()
    for flags in (("--ws-origins", "https://a.org"), ("--token", "secret")):
        assert warning not in start_broker("--ws-port", "0", *flags).log.read_text()
    world = start_broker("--ws-port", "0", "--ws-host", "0.0.0.0")
    wait_until(lambda: "listening on 0.0.0.0 without authentication" in world.log.read_text())


def test_a_stop_closes_every_client_with_a_close_frame(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0")
    with WebWire(broker.ws_port) as web, socket.create_connection(("127.0.0.1", broker.ws_port)) as half:
        web.create(name="box")
        web.sub("r")
        half.sendall(b"GET / ")
        web.pub(f"{MAILBOX}MSG.box", "last", reply="r")
        web.ping()
        assert broker.stop() == 0
        assert web.closed()
        received = b"".join(message.payload for message in web.received) + web.unread
        assert b'{"msg_id":0}' in received
        assert web.close_code == (1001, "Server Shutdown")
        assert is_closed_without_data(half)


def test_lame_duck_mode_reaches_websocket_clients(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--lame-duck-duration", "0.3")
    with WebWire(broker.ws_port) as web, WebWire(broker.ws_port) as other:
        for wire in (web, other):
            wire.ping()
        broker.process.send_signal(signal.SIGUSR2)
        for wire in (web, other):
            line = wire.line()
            assert '"ldm":true' in line
            assert f'"port":{broker.ws_port}' in line
        with socket.socket() as attempt:
            assert attempt.connect_ex(("127.0.0.1", broker.ws_port)) != 0
        for wire in (web, other):
            assert wire.closed()
            assert wire.unread.endswith(b"-ERR 'Server Shutdown'\r\n")
            assert wire.close_code == (1001, "Server Shutdown")
    assert broker.process.wait(WAIT_SECONDS) == 0
    broker._close_output()
