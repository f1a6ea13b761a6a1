"""The official JavaScript client, over TCP and WebSocket: results of the scripts in tests/js."""

from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import nkeys
import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.node import Script, needs_node
from tests.support.wire_client import MAILBOX, Wire

Start = Callable[..., Broker]
pytestmark = needs_node
transports = pytest.mark.parametrize("transport", ["tcp", "websocket"])


@pytest.fixture(scope="module")
def js_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("js") / "data", "--ws-port", "0")
    yield broker
    broker.end()


def port_of(broker: Broker, transport: str) -> int:
    return broker.port if transport == "tcp" else broker.ws_port


def url_of(broker: Broker, transport: str) -> str:
    return f"{'nats' if transport == 'tcp' else 'ws'}://127.0.0.1:{port_of(broker, transport)}"


@transports
def test_javascript_publishes_subscribes_and_drains(js_broker: Broker, transport: str) -> None:
    with Script("core.mjs", url_of(js_broker, transport)) as script, Wire(js_broker.port) as peer:
        port = port_of(js_broker, transport)
        assert script.line() == {"connected": True, "port": port, "headers": True}
        assert script.observed("wild") == [["js.one.done", [0x31]], ["js.two.done", [0, 255, 13, 10]]]
        assert script.observed("replies") == ["2", "4", "6"]
        counts = script.observed("counts")
        assert sum(counts) == 300
        assert min(counts) > 50
        assert script.line() == {"kind": ["first", "second"], "body": "body", "reply": "js.reply"}
        assert "no responders" in script.observed("nobody")["message"]
        assert script.observed("ready")
        answer = peer.request("js.to", b"\xc3\xa4 from a peer")
        assert answer.payload == b"received \xc3\xa4 from a peer"
        assert answer.header == b"NATS/1.0\r\nKind: first\r\nKind: second\r\n\r\n"
        assert script.line() == {"handled": 100, "late": "DrainingConnectionError"}
        assert script.line() == {"closed": True}


@transports
def test_javascript_raises_errors_for_refused_operations(js_broker: Broker, transport: str) -> None:
    with Script("refused.mjs", url_of(js_broker, transport)) as script:
        denied = {"name": "PermissionViolationError", "operation": "subscription"}
        assert script.observed("wildcard") == {**denied, "subject": f"{MAILBOX}MSG.*"}
        assert script.observed("other") == {**denied, "subject": "$mq9.other", "queue": "q"}
        assert "max_payload" in script.observed("payload")["message"]
        assert script.observed("after") == "still here"


@transports
def test_javascript_uses_mailboxes(js_broker: Broker, transport: str, address: str) -> None:
    with Script("mailboxes.mjs", url_of(js_broker, transport)) as script:
        script.send({"address": address})
        assert script.observed("created") == {"mail_address": address, "is_new": True}
        assert script.observed("again") == {"mail_address": address, "is_new": False}
        assert script.observed("generated").startswith("js.")
        assert script.observed("sent") == [0, 1, 2, 3, 4]
        by_priority = ["c3", "c5", "u1", "u4", "n0", "n2"]
        assert script.line() == {"total": 6, "listed": by_priority}
        tails = [".critical"] * 2 + [".urgent"] * 2 + [""] * 2
        assert script.line() == {
            "replayed": by_priority,
            "subjects": [f"MSG.{address}{tail}" for tail in tails],
            "kind": "marked",
        }
        # Two messages were deleted by replies, one by DELETE, which finds it only once.
        assert script.line() == {"deleted": {"deleted": True}, "gone": {"deleted": False}}
        assert script.observed("left") == ["u1", "u4", "n2"]
        assert script.observed("urgent") == ["u1", "u4"]
        taken = script.observed("taken")
        assert sorted(body for _, body in taken) == ["n2", "u1", "u1", "u4"]
        assert taken[0][1] == "u1"
        assert {member for member, _ in taken} == {"a", "b"}
        assert script.observed("absent")["code"] == "mailbox_not_found"
        assert script.observed("unknown")["code"] == "unknown_command"


@transports
def test_javascript_signs_in_with_a_user(start_broker: Start, transport: str) -> None:
    broker = start_broker("--ws-port", "0", "--user", "ann", "--password", "p w")
    with Script("sign_in.mjs", url_of(broker, transport)) as script:
        for credentials, expected in (
            ({"user": "ann", "pass": "p w"}, {"in": True, "user": "ann"}),
            ({"user": "ann", "pass": "pw"}, {"in": False, "name": "AuthorizationError"}),
            ({"user": "bob", "pass": "p w"}, {"in": False, "name": "AuthorizationError"}),
            ({"token": "p w"}, {"in": False, "name": "AuthorizationError"}),
            ({}, {"in": False, "name": "AuthorizationError"}),
        ):
            script.send(credentials)
            assert script.line() == expected, credentials
        script.send(None)


@transports
def test_javascript_signs_in_with_a_token(start_broker: Start, transport: str) -> None:
    broker = start_broker("--ws-port", "0", "--token", "secret")
    with Script("sign_in.mjs", url_of(broker, transport)) as script:
        script.send({"token": "secret"})
        assert script.line() == {"in": True, "user": None}
        script.send({"token": "Secret"})
        assert script.line() == {"in": False, "name": "AuthorizationError"}
        script.send(None)


@transports
def test_javascript_signs_in_with_an_nkey_or_a_hashed_password(
    start_broker: Start, tmp_path: Path, transport: str
) -> None:
    seeds = [nkeys.encode_seed(bytes([number] * 32), nkeys.PREFIX_BYTE_USER) for number in (1, 2)]
    known = nkeys.from_seed(bytearray(seeds[0])).public_key.decode()
    hashed = bcrypt.hashpw(b"slow", bcrypt.gensalt(10)).decode()
    config = tmp_path / "mq9.toml"
    config.write_text(f'[[users]]\nnkey = "{known}"\n[[users]]\nuser = "ann"\npassword = "{hashed}"\n')
    broker = start_broker("--ws-port", "0", "--config", str(config))
    with Script("sign_in.mjs", url_of(broker, transport)) as script:
        for credentials, expected in (
            ({"seed": seeds[0].decode()}, {"in": True, "user": None}),
            ({"seed": seeds[1].decode()}, {"in": False, "name": "AuthorizationError"}),
            ({"user": "ann", "pass": "slow"}, {"in": True, "user": "ann"}),
            ({"user": "ann", "pass": "Slow"}, {"in": False, "name": "AuthorizationError"}),
        ):
            script.send(credentials)
            assert script.line() == expected, credentials
        script.send(None)


@pytest.mark.parametrize("scheme", ["nats", "tls", "wss"])
def test_javascript_connects_with_tls(
    start_broker: Start, tmp_path_factory: pytest.TempPathFactory, scheme: str
) -> None:
    certificates = Certificates(tmp_path_factory.mktemp("js_tls"))
    files = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    broker = start_broker("--ws-port", "0", *files)
    url = f"{scheme}://localhost:{broker.ws_port if scheme == 'wss' else broker.port}"
    with Script("sign_in.mjs", url, NODE_EXTRA_CA_CERTS=certificates.cert_path("ca")) as script:
        script.send({})
        assert script.line() == {"in": True, "user": None}
        script.send(None)
    with Script("sign_in.mjs", url, NODE_EXTRA_CA_CERTS=certificates.cert_path("other")) as script:
        script.send({})
        assert script.observed("in") is False
        script.send(None)


@transports
def test_javascript_reconnects_after_a_kill(start_broker: Start, transport: str) -> None:
    broker = start_broker("--ws-port", "0")
    with Script("reconnect.mjs", url_of(broker, transport)) as script:
        assert script.observed("connected")
        broker.kill()
        assert script.observed("status") == "disconnect"
        broker.flags = ("--port", str(broker.port), *broker.flags[2:], "--ws-port", str(broker.ws_port))
        broker.start()
        assert script.observed("status") == "reconnect"
        with Wire(broker.port) as wire:
            assert wire.msg("kept", "after") == {"msg_id": 1}
            script.send("go on")
            observed = script.line()
            # The client received the first message before the kill, and again after it.
            assert observed["seen"] == ["before", "before", "after"]
            assert observed["plain"] == "still subscribed"
            assert wire.list("kept")["total"] == 2
