"""What clients and settings keep secret reaches neither the log, at its fullest, nor a monitoring page."""

import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.support.broker import Broker
from tests.support.websocket_client import WebWire
from tests.support.wire_client import Wire

PASSWORD, WRONG, TOKEN, COOKIE = "right-horse-1", "wrong-horse-2", "token-horse-3", "cookie-horse-4"
BODY, HEADER, CONTROL = "body-horse-5", "header-horse-6", "forged\r\n2026-01-31T12:00:00.000Z ERROR line"
PAGES = ("varz", "connz?auth=1&subs=detail&state=any", "subsz?subs=1", "mailboxz", "metrics", "healthz")


def test_no_secret_is_shown(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text(f'[[users]]\nuser = "anna"\npassword = "{PASSWORD}"\n')
    flags = ("--log-level", "debug", "--ws-port", "0", "--monitor-port", "0", "--ws-password-cookie", "pass")
    broker = start_broker("--config", str(config), *flags)
    for refused in ({"user": "anna", "pass": WRONG}, {"auth_token": TOKEN}, {"user": CONTROL, "pass": WRONG}):
        with Wire(broker.port, refused) as wire:
            assert wire.closed()
    with WebWire(broker.ws_port, {"user": "anna"}, Cookie=f"pass={COOKIE}") as web:
        assert web.closed()
    with Wire(broker.port, {"user": "anna", "pass": PASSWORD}) as wire:
        address = wire.create()["mail_address"]
        wire.msg(address, BODY, f"NATS/1.0\r\nSecret: {HEADER}\r\n\r\n".encode())
        wire.subscribe(address)
        wire.message()
        wire.pub(f"$mq9.AI.MAILBOX.MSG.{address}.{address}", BODY)
        wire.ping()
        shown = [urllib.request.urlopen(f"{broker.monitor_url}/{page}").read().decode() for page in PAGES]
    broker.stop()
    for text in (broker.log.read_text(), *shown):
        for secret in (PASSWORD, WRONG, TOKEN, COOKIE, BODY, HEADER, address):
            assert secret not in text
        assert "\n2026-01-31T12:00:00.000Z ERROR line" not in text
