"""Credentials in cookies of the upgrade, for what CONNECT leaves out, as on nats-server."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast.auth.authenticator import Credentials
from mq9fast.network.websocket.cookies import CookieNames, read_cookies
from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import WebWire

Start = Callable[..., Broker]
StartWebSocket = Callable[..., int]
FLAGS = ["--ws-username-cookie", "u", "--ws-password-cookie", "p", "--ws-token-cookie", "t"]
BLOCK = 'no_tls: true, user_cookie: "u", pass_cookie: "p", token_cookie: "t"'
USER = {"user": "ann", "password": "secret"}


def signs_in(port: int, cookie: str | None, **connect: str) -> bool:
    """Whether the server accepts a CONNECT with these fields after an upgrade with this Cookie header."""
    with WebWire(port, None, Cookie=cookie) as wire:
        assert wire.info["auth_required"] is True
        wire.send(f"CONNECT {json.dumps({'verbose': False, **connect})}\r\n")
        wire.send("PING\r\n")
        try:
            return wire.line(WAIT_SECONDS) == "PONG"
        except (EOFError, ConnectionError):
            return False


@pytest.mark.parametrize(
    ("cookie", "connect", "accepted"),
    [
        ("t=secret", {}, True),
        ("a=b; t=secret; c=d", {}, True),
        ('t="secret"', {}, True),
        ("t=wrong", {}, False),
        ("T=secret", {}, False),
        ("t=secre\\t", {}, False),
        (None, {}, False),
        ("t=wrong; t=secret", {}, True),
        # CONNECT counts more than the cookie, unless it is empty.
        ("t=wrong", {"auth_token": "secret"}, True),
        ("t=secret", {"auth_token": "wrong"}, False),
        ("t=secret", {"auth_token": ""}, True),
    ],
)
def test_a_token_in_a_cookie(
    start_websocket: StartWebSocket, cookie: str | None, connect: dict[str, str], accepted: bool
) -> None:
    port = start_websocket(FLAGS, BLOCK, token="secret")
    assert signs_in(port, cookie, **connect) is accepted


def test_user_and_password_in_cookies(start_websocket: StartWebSocket) -> None:
    port = start_websocket(FLAGS, BLOCK, **USER)
    for cookie, connect, accepted in [
        ("u=ann; p=secret", {}, True),
        ("u=ann", {"pass": "secret"}, True),
        ("p=secret", {"user": "ann"}, True),
        ("u=ann; p=wrong", {}, False),
        ("u=ann; p=secret", {"user": "bob"}, False),
        ("t=secret", {}, False),
    ]:
        assert signs_in(port, cookie, **connect) is accepted, (cookie, connect)


def test_without_the_setting_no_cookie_counts_and_a_reload_changes_that(
    start_broker: Start, tmp_path: Path
) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text('token = "secret"\n')
    broker = start_broker("--ws-port", "0", "--config", str(config))
    assert not signs_in(broker.ws_port, "t=secret")
    config.write_text('token = "secret"\nws_token_cookie = "t"\n')
    broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: signs_in(broker.ws_port, "t=secret"))
    assert "secret" not in broker.log.read_text()


@given(st.lists(st.binary(max_size=30), max_size=3))
def test_any_cookie_header_can_be_read(headers: list[bytes]) -> None:
    found = read_cookies(headers, CookieNames("u", None, "t"))
    assert found is None or isinstance(found, Credentials)
    valid = read_cookies([*headers, b"u=ann"], CookieNames("u", None, "t"))
    assert valid is not None
    assert valid.user == "ann"
