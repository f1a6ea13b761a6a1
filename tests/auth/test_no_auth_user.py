"""no_auth_user and allowed_connection_types: the sender, WebSocket, reloads, and wrong settings.

tests/wire/no_auth_user.wire and connection_types.wire compare with nats-server.
"""

import json
from pathlib import Path

import nkeys
import pytest

from tests.support.broker import start_error
from tests.support.configured_broker import ConfiguredBroker, StartBroker
from tests.support.websocket_client import WebWire
from tests.support.wire_client import Wire

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
KEY = nkeys.from_seed(bytearray(SEED)).public_key.decode()
GUEST = 'no_auth_user = "guest"\n[[users]]\nuser = "guest"\n'
ANNA = '[[users]]\nuser = "anna"\npassword = "anna"\n'
Start = StartBroker


def sender(wire: Wire, address: str) -> str | None:
    """The sender of a message of this client, as LIST shows it."""
    wire.create(name=address)
    wire.msg(address, "body")
    found: str | None = wire.list(address)["messages"][0].get("from")
    return found


def test_client_without_credentials_is_the_user(start_broker: Start, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", GUEST + ANNA, "--ws-port", "0")
    with Wire(broker.port) as guest, broker.user("anna") as anna:
        assert sender(guest, "a") == "guest"
        assert sender(anna, "b") == "anna"
    with WebWire(broker.broker.ws_port) as guest:
        assert sender(guest, "c") == "guest"
    with Wire(broker.port, None) as silent:
        assert "auth_required" not in silent.info
        silent.send("PUB $mq9.AI.MAILBOX.MSG.a 1\r\nx\r\n")
        assert silent.line() == "+OK"
    with Wire(broker.port) as guest:
        assert [it["from"] for it in guest.list("a")["messages"]] == ["guest", "guest"]


def test_user_with_an_nkey(start_broker: Start, tmp_path: Path) -> None:
    config = f'no_auth_user = "{KEY}"\n[[users]]\nnkey = "{KEY}"\n'
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", config)
    with Wire(broker.port) as guest:
        assert sender(guest, "a") == KEY
    with Wire(broker.port, {"nkey": KEY, "sig": "AAAA"}) as wrong:
        assert wrong.closed()


def test_reload_gives_and_takes_the_user(start_broker: Start, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "")
    with Wire(broker.port) as guest:
        assert sender(guest, "a") is None
        broker.reload(GUEST + ANNA)
        assert sender(guest, "b") == "guest"
        broker.reload('no_auth_user = "anna"\n' + ANNA)
        assert sender(guest, "c") == "anna"
        broker.reload('no_auth_user = "anna"\n' + ANNA.replace('password = "anna"', 'password = "other"'))
        assert sender(guest, "d") == "anna"
        broker.reload(ANNA)
        assert guest.closed()


def test_connection_types(start_broker: Start, tmp_path: Path) -> None:
    def user(types: list[str]) -> str:
        return ANNA + f"allowed_connection_types = {json.dumps(types)}\n"

    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", user(["WEBSOCKET"]), "--ws-port", "0")
    credentials = {"user": "anna", "pass": "anna"}
    with Wire(broker.port, credentials) as wire:
        assert wire.closed()
        assert wire.unread == b"-ERR 'Authorization Violation'\r\n"
    with WebWire(broker.broker.ws_port, credentials) as web:
        assert sender(web, "a") == "anna"
        broker.reload(user(["STANDARD"]))
        assert web.closed()
    with broker.user("anna") as wire:
        assert sender(wire, "b") == "anna"
    # The user of clients without credentials is bound to them too.
    broker.reload(GUEST + 'allowed_connection_types = ["WEBSOCKET"]\n')
    with Wire(broker.port) as wire:
        assert wire.closed()
    with WebWire(broker.broker.ws_port) as web:
        assert sender(web, "c") == "guest"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('no_auth_user = "nobody"\n' + ANNA, "no_auth_user: 'nobody' is not in the list of users"),
        (ANNA + 'allowed_connection_types = ["MQTT"]\n', "Invalid enum value 'MQTT'"),
        (ANNA + "permissions.allow_responses = { max = -1 }\n", "Expected `int` >= 0"),
        (ANNA + 'permissions.allow_responses = { expires = "1m" }\n', "Expected `float`"),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, sentence: str) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text(text)
    assert sentence in start_error("--config", config, "--data-dir", tmp_path / "data")
