"""Users by certificate (tls_verify_and_map): over TCP and WebSocket, the proved sender, and a reload.

tests/wire/test_certificate_users.py compares with nats-server which certificate is which user.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import nats
import pytest

from tests.support.broker import start_error
from tests.support.certificates import Certificates
from tests.support.configured_broker import ConfiguredBroker, StartBroker
from tests.support.nats_py import connect
from tests.support.questions import answer, ask, block
from tests.support.tls_wire import TlsWire
from tests.support.websocket_client import WebWire
from tests.support.wire_client import MAILBOX, Wire

AGENT = '[[users]]\nuser = "agent@example.org"\n'
ANNA = '[[users]]\nuser = "CN=anna,O=Acme"\n'
SECRET = '[[users]]\nuser = "guest"\npassword = "guest"\n'
Start = Callable[..., ConfiguredBroker]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    files = Certificates(tmp_path_factory.mktemp("certificates"))
    files.sign("agent", "ca", "subjectAltName=email:agent@example.org", "/O=Acme/CN=anna")
    files.sign("anna", "ca", "extendedKeyUsage=clientAuth", "/O=Acme/CN=anna")
    return files


@pytest.fixture
def start(start_broker: StartBroker, tmp_path: Path, files: Certificates) -> Start:
    """Start a broker that maps certificates to the users in a text."""
    flags = (
        *("--tls-cert", files.cert_path("server"), "--tls-key", files.key_path("server")),
        *(
            "--tls-ca",
            files.cert_path("ca"),
            "--tls-verify-and-map",
            "--ws-port",
            "0",
            "--auth-timeout",
            "600",
        ),
    )
    return lambda text, *more: ConfiguredBroker(start_broker, tmp_path / "mq9.toml", text, *flags, *more)


def sent_by(wire: Wire, address: str) -> str:
    """The sender of a message, as the mailbox has it."""
    wire.create(name=address)
    wire.msg(address, "body")
    return str(wire.list(address)["messages"][0]["from"])


def test_user_of_the_certificate_is_the_sender(start: Start, files: Certificates) -> None:
    broker = start(AGENT + ANNA)
    with TlsWire(broker.port, files.client_context("agent")) as wire:
        assert sent_by(wire, "tcp.agent") == "agent@example.org"
    with TlsWire(broker.port, files.client_context("anna"), {"user": "agent@example.org"}) as wire:
        assert sent_by(wire, "tcp.anna") == "CN=anna,O=Acme"
    with WebWire(broker.broker.ws_port, tls=files.client_context("agent")) as wire:
        assert sent_by(wire, "ws.agent") == "agent@example.org"


@pytest.mark.parametrize("websocket", [False, True], ids=["TCP", "WebSocket"])
def test_user_of_the_certificate_cannot_be_forged(start: Start, files: Certificates, websocket: bool) -> None:
    """Neither in a message, nor in an answer, nor by the text of +TERM, nor by CONNECT."""
    broker = start(AGENT + ANNA)
    context, claim = files.client_context("agent"), {"user": "CN=anna,O=Acme", "name": "CN=anna,O=Acme"}
    wire: Wire
    if websocket:
        wire = WebWire(broker.broker.ws_port, claim, tls=context)
    else:
        wire = TlsWire(broker.port, context, claim)
    with wire:
        wire.create(name="asker")
        wire.create(name="box", dead_letter="dead")
        boss = "CN=anna,O=Acme"
        for header in (
            block(Mq9_From=boss),
            f"NATS/1.0\r\nmq9-FROM: {boss}\r\nA: b\r\nMQ9-From: {boss}\r\n\r\n".encode(),
        ):
            assert "msg_id" in wire.msg("box", "body", header)
        for lines in (f"A: b\r\n Mq9-From: {boss}", f"A: b\nMq9-From: {boss}", f"A: b\rMq9-From: {boss}"):
            refused = wire.msg("box", "body", f"NATS/1.0\r\n{lines}\r\n\r\n".encode())
            assert refused["code"] == "bad_request"
        assert ask(wire, "box", "sure?", "asker")["msg_id"] == 2
        assert "answer" in answer(wire, "box", 2, "yes", Mq9_From=boss)
        assert wire.delete("box", 1, f"+TERM x\r\nMq9-From: {boss}".encode()) == {"deleted": True}
        for address in ("box", "asker", "dead"):
            (message,) = wire.list(address)["messages"]
            assert message["from"] == message["headers"]["Mq9-From"] == "agent@example.org"


def test_certificate_of_no_user_is_refused(start: Start, files: Certificates) -> None:
    broker = start(AGENT)
    with TlsWire(broker.port, files.client_context("anna"), {"user": "agent@example.org"}) as wire:
        assert wire.closed()
        assert wire.unread == b"-ERR 'Authorization Violation'\r\n"
    with WebWire(
        broker.broker.ws_port, {"user": "agent@example.org"}, tls=files.client_context("anna")
    ) as web:
        assert web.closed()


def test_websockets_without_tls_need_a_password(start: Start, files: Certificates) -> None:
    broker = start(AGENT + SECRET, "--no-ws-tls")
    for credentials in ({}, {"user": "agent@example.org"}, {"user": "agent@example.org", "pass": "x"}):
        with WebWire(broker.broker.ws_port, credentials) as wire:
            assert wire.closed()
    with WebWire(broker.broker.ws_port, {"user": "guest", "pass": "guest"}) as wire:
        assert sent_by(wire, "ws.guest") == "guest"


def test_reload_finds_the_user_of_a_connected_client_again(start: Start, files: Certificates) -> None:
    broker = start(ANNA)
    with (
        TlsWire(broker.port, files.client_context("agent")) as agent,
        TlsWire(broker.port, files.client_context("anna")) as anna,
    ):
        assert sent_by(agent, "a") == "CN=anna,O=Acme"
        anna.ping()
        broker.reload(AGENT)
        assert sent_by(agent, "b") == "agent@example.org"
        assert anna.closed()
        broker.reload('[[users]]\nuser = "agent@example.org"\npassword = "new"\n')
        assert agent.closed()


def test_user_without_password_needs_the_setting(tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text(AGENT)
    assert "needs a password" in start_error("--config", config, "--data-dir", tmp_path / "data")


def test_nats_py_signs_in_by_certificate(start: Start, files: Certificates) -> None:
    broker = start(AGENT)

    async def run() -> None:
        url = f"tls://localhost:{broker.port}"
        client = await connect(url, tls=files.client_context("agent"))
        await client.request(f"{MAILBOX}CREATE", b'{"name":"box"}')
        await client.request(f"{MAILBOX}MSG.box", b"x")
        page = json.loads((await client.request(f"{MAILBOX}LIST.box")).data)
        assert page["messages"][0]["from"] == "agent@example.org"
        await client.close()
        with pytest.raises(nats.errors.Error):
            await connect(url, tls=files.client_context("anna"), allow_reconnect=False)

    asyncio.run(run())
