"""$SYS.REQ. requests: mq9fast and nats-server give answers of the same shape, and refuse the same users."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

USERS = """
[[users]]
user = "sys"
password = "sys"
system = true

[[users]]
user = "anna"
password = "anna"
permissions.publish = { allow = [">"], deny = "secret" }
permissions.subscribe = { deny = "x.y" }
permissions.allow_responses = { max = 2, expires = 60.0 }

[[users]]
user = "berta"
password = "berta"
permissions.publish = ["$SYS.REQ.USER.INFO"]
"""
NATS_USERS = """
accounts {
  $SYS { users: [{user: sys, password: sys}] }
  A { users: [
    {user: anna, password: anna, permissions: {
      publish: {allow: [">"], deny: "secret"}, subscribe: {deny: "x.y"}
      allow_responses: {max: 2, expires: "60s"}}}
    {user: berta, password: berta, permissions: {publish: ["$SYS.REQ.USER.INFO"]}}
  ] }
}
"""
# Fields of nats-server that mq9fast does not have, at any depth, or not at once (rtt).
MISSING = {
    *("feature_flags", "git_commit", "go", "gomaxprocs", "config_digest", "system_account", "cluster"),
    *("gateway", "leaf", "mqtt", "websocket", "jetstream", "disk_io_wait_stats"),
    *("name_tag", "account", "account_tag", "rtt"),
}
OWN = {"mq9fast", "max_subscriptions", "auth_required", "tls_required", "tls_verify", "gomaxprocs"}
OWN |= {"slow_consumer_stats", "stale_connections"}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of mq9fast and nats-server."""
    if NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    directory = tmp_path_factory.mktemp("system")
    config, theirs = directory / "mq9.toml", directory / "accounts.conf"
    config.write_text(USERS)
    theirs.write_text(NATS_USERS)
    broker = Broker(directory / "data", "--config", str(config))
    server = NatsServer(directory, {"config": str(theirs)})
    yield broker.port, server.port
    broker.end()
    server.end()


def sign_in(port: int, user: str) -> Wire:
    wire = Wire(port, {"user": user, "pass": user, "name": user, "lang": "python", "version": "1"})
    wire.ping()
    return wire


def ask(port: int, user: str, subject: str, payload: str | dict[str, Any] = "") -> Any:
    """The answer to a request about a server; `ID` in the subject stands for its id. None for status 503."""
    with sign_in(port, user) as wire:
        answer = wire.request("$SYS.REQ." + subject.replace("ID", wire.info["server_id"]), payload)
        return None if answer.header.startswith(b"NATS/1.0 503") else answer.json


def shape(value: Any) -> Any:
    """The names and JSON types of the fields that both servers have; of lists, that of the first entry.
    nats-server has null for some empty lists."""
    if isinstance(value, dict):
        return {name: shape(it) for name, it in value.items() if name not in MISSING | OWN}
    if isinstance(value, list):
        return [shape(it) for it in value[:1]]
    if value is None:
        return []
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


@pytest.mark.parametrize(
    ("user", "subject", "options"),
    [
        ("anna", "USER.INFO", ""),
        ("sys", "SERVER.PING", ""),
        ("sys", "SERVER.PING.STATSZ", {}),
        ("sys", "SERVER.ID.STATSZ", {}),
        ("sys", "SERVER.PING.VARZ", ""),
        ("sys", "SERVER.ID.VARZ", ""),
        ("sys", "SERVER.PING.CONNZ", {"auth": True, "subscriptions": True, "sort": "start", "limit": 7}),
        ("sys", "SERVER.PING.CONNZ", {"subscriptions_detail": True, "subscriptions": True}),
        ("sys", "SERVER.PING.CONNZ", {"cid": 999999}),
        ("sys", "SERVER.PING.CONNZ", {"state": 0, "user": "nobody"}),
        ("sys", "SERVER.PING.SUBSZ", {"limit": 5}),
        ("sys", "SERVER.PING.HEALTHZ", ""),
        ("sys", "SERVER.PING.JSZ", ""),
        ("sys", "SERVER.PING.ACCOUNTZ", ""),
        ("sys", "ACCOUNT.PING.STATZ", {"include_unused": True, "accounts": ["$SYS"]}),
        ("sys", "ACCOUNT.none.CONNZ", ""),
        # Go matches names of fields in any case, and null is the default.
        ("sys", "SERVER.PING.CONNZ", {"LIMIT": 7, "offset": None}),
        ("sys", "SERVER.PING.VARZ", "null"),
        ("sys", "SERVER.PING.JSZ", {"accounts": True}),
        ("sys", "SERVER.PING.HEALTHZ", {"stream": "S"}),
        ("anna", "USER.INFO", "no JSON"),
        ("anna", "SERVER.PING.CONNZ", {"auth": True, "subscriptions": True}),
        ("anna", "ACCOUNT.PING.CONNZ", ""),
        ("anna", "ACCOUNT.PING.STATZ", ""),
    ],
)
def test_answer_has_the_fields_of_nats_server(
    ports: tuple[int, int], user: str, subject: str, options: str | dict[str, Any]
) -> None:
    ours, theirs = (ask(port, user, subject, options) for port in ports)
    assert shape(ours) == shape(theirs)
    assert ours["server"]["id"] and ours["server"]["seq"] > 0
    for name in ("num_connections", "limit", "offset", "total"):
        if name in theirs.get("data", {}) and "SUBSZ" not in subject:
            assert ours["data"][name] == theirs["data"][name], name


def test_user_info(ports: tuple[int, int]) -> None:
    for user in ("anna", "berta"):
        ours, theirs = (ask(port, user, "USER.INFO")["data"] for port in ports)
        assert {**theirs, "account": "$G", "account_name": "$G"} == ours
    (ours,) = (ask(port, "sys", "USER.INFO")["data"] for port in ports[:1])
    assert ours == {"user": "sys", "account": "$G", "account_name": "$G"}


@pytest.mark.parametrize(
    "subject",
    [
        "SERVER.PING",
        "SERVER.PING.VARZ",
        "SERVER.ID.VARZ",
        "SERVER.ID.KICK",
        "SERVER.ID.RELOAD",
        "ACCOUNT.A.INFO",
    ],
)
def test_user_outside_of_the_system_account_gets_no_answer(ports: tuple[int, int], subject: str) -> None:
    assert [ask(port, "anna", subject, {"cid": 1}) for port in ports] == [None, None]


def test_permission_to_publish_is_needed(ports: tuple[int, int]) -> None:
    for port in ports:
        with sign_in(port, "berta") as wire:
            wire.pub("$SYS.REQ.ACCOUNT.PING.CONNZ", "", "_INBOX.x")
            assert wire.line().startswith(
                "-ERR 'Permissions Violation for Publish to \"$SYS.REQ.ACCOUNT.PING"
            )


@pytest.mark.parametrize(
    ("subject", "payload", "code"),
    [
        ("SERVER.PING.CONNZ", "{", 400),
        ("SERVER.PING.CONNZ", '{"limit": "x"}', 400),
        ("SERVER.PING.CONNZ", '{"limit": 1.0}', 400),
        ("SERVER.PING.CONNZ", '{"cid": -1}', 400),
        ("SERVER.PING.CONNZ", "[]", 400),
        ("SERVER.PING.JSZ", '{"accounts": []}', 400),
        ("SERVER.PING.HEALTHZ", '{"details": "x"}', 400),
        ("ACCOUNT.PING.STATZ", '{"accounts": true}', 400),
        ("SERVER.PING.CONNZ", '{"sort": "nonsense"}', 500),
        ("SERVER.PING.SUBSZ", '{"subscriptions": true, "test": "a..b"}', 500),
        ("ACCOUNT.none.INFO", "", 500),
    ],
)
def test_wrong_requests(ports: tuple[int, int], subject: str, payload: str, code: int) -> None:
    ours, theirs = (ask(port, "sys", subject, payload)["error"] for port in ports)
    assert ours["code"] == theirs["code"] == code


@pytest.mark.parametrize(
    ("subject", "payload"),
    [
        ("SERVER.ID.KICK", '{"cid": 999999}'),
        ("SERVER.ID.LDM", '{"cid": 999999}'),
        ("ACCOUNT.$SYS.JSZ", ""),
    ],
)
def test_refusals_in_the_words_of_nats_server(ports: tuple[int, int], subject: str, payload: str) -> None:
    ours, theirs = (ask(port, "sys", subject, payload)["error"] for port in ports)
    assert ours == theirs


def test_identity(ports: tuple[int, int]) -> None:
    for port in ports:
        with sign_in(port, "sys") as wire:
            server = wire.info["server_id"]
            for asked in ("PING", server):
                answer = wire.request(f"$SYS.REQ.SERVER.{asked}.IDZ").json
                assert answer == {"name": wire.info["server_name"], "host": "127.0.0.1", "id": server}


@pytest.mark.parametrize(
    ("subject", "options"),
    [
        ("SERVER.PING.JSZ", {"leader_only": True}),
        ("ACCOUNT.PING.STATZ", {"accounts": ["none"]}),
        ("ACCOUNT.none.STATZ", {}),
    ],
)
def test_servers_without_an_answer_are_silent(
    ports: tuple[int, int], subject: str, options: dict[str, Any]
) -> None:
    for port in ports:
        with sign_in(port, "sys") as wire:
            wire.sub("inbox")
            wire.pub("$SYS.REQ." + subject, json.dumps(options), "inbox")
            assert wire.silent(0.2)


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ({"server_name": "none such"}, False),
        ({"host": "none.such"}, False),
        ({"cluster": "c"}, False),
        ({"tags": ["a"]}, False),
        ({"domain": "d"}, False),
        ({"host": "127.0"}, True),
        ({"host": "127.0", "exact_match": True}, False),
        ({"host": "127.0.0.1", "exact_match": True}, True),
    ],
)
def test_servers_that_are_not_asked_are_silent(
    ports: tuple[int, int], options: dict[str, Any], answers: bool
) -> None:
    for port in ports:
        with sign_in(port, "sys") as wire:
            wire.sub("inbox")
            wire.pub("$SYS.REQ.SERVER.PING.VARZ", json.dumps(options), "inbox")
            assert wire.silent(0.2) is not answers


def test_kick_and_lame_duck(ports: tuple[int, int]) -> None:
    connect = {"user": "anna", "pass": "anna", "protocol": 1}
    for port in ports:
        with sign_in(port, "sys") as system, Wire(port, connect) as anna:
            anna.send("PING\r\n")
            while anna.line() != "PONG":
                pass
            server, cid = system.info["server_id"], anna.info["client_id"]
            answer = system.request(f"$SYS.REQ.SERVER.{server}.LDM", {"cid": cid}).json
            assert answer.keys() == {"server"}
            while '"ldm":true' not in anna.line():
                pass
            answer = system.request(f"$SYS.REQ.SERVER.{server}.KICK", {"cid": cid}).json
            assert answer.keys() == {"server"}
            assert anna.closed()
            assert b"-ERR" not in anna.unread


def test_reload(tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text(USERS)
    broker = Broker(tmp_path / "data", "--config", str(config))
    try:
        subject = "SERVER.ID.RELOAD"
        assert ask(broker.port, "sys", subject).keys() == {"server"}
        config.write_text(USERS + 'port = "x"\n')
        assert ask(broker.port, "sys", subject)["error"]["code"] == 500
        config.write_text(USERS + "\n[[users]]\nuser = 'new'\npassword = 'new'\n")
        assert "error" not in ask(broker.port, "sys", subject)
        assert ask(broker.port, "new", "USER.INFO")["data"]["user"] == "new"
        wait_until(lambda: broker.log.read_text().count("settings reloaded") == 2, WAIT_SECONDS)
    finally:
        broker.end()


def test_answer_that_is_too_large(tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text("max_payload = 1024\n" + USERS)
    broker = Broker(tmp_path / "data", "--config", str(config))
    try:
        assert (
            "larger than max_payload" in ask(broker.port, "sys", "SERVER.PING.VARZ")["error"]["description"]
        )
        assert ask(broker.port, "sys", "SERVER.PING.HEALTHZ")["data"]["status"] == "ok"
        # What is sent counts.
        with sign_in(broker.port, "sys") as wire:
            header = b"NATS/1.0\r\nAccept-Encoding: gzip\r\n\r\n"
            answer = wire.request("$SYS.REQ.SERVER.PING.VARZ", "", header)
            assert b'"max_payload":1024' in gzip.decompress(answer.payload)
    finally:
        broker.end()


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip", "gzip"), ("deflate, GZIP;q=0.5", "gzip"), ("br", "identity"), ("", "")],
)
def test_compressed_answers(ports: tuple[int, int], accepted: str, encoding: str) -> None:
    header = f"NATS/1.0\r\nAccept-Encoding: {accepted}\r\n\r\n".encode()
    expected = f"NATS/1.0\r\nContent-Encoding: {encoding}\r\n\r\n".encode() if encoding else b""
    for port in ports:
        with sign_in(port, "sys") as wire:
            answer = wire.request("$SYS.REQ.SERVER.PING.VARZ", "", header)
            assert answer.header == expected
            body = gzip.decompress(answer.payload) if encoding == "gzip" else answer.payload
            assert json.loads(body).keys() == {"server", "data"}
            # An error is not compressed.
            kick = f"$SYS.REQ.SERVER.{wire.info['server_id']}.KICK"
            answer = wire.request(kick, {"cid": 999999}, header)
            assert answer.header == b"" and answer.json.keys() == {"server", "error"}


@pytest.mark.parametrize("accepted", ["snappy", "gzip, Snappy", "s2"])
def test_answers_in_snappy(ports: tuple[int, int], accepted: str) -> None:
    cramjam = pytest.importorskip("cramjam")
    header = f"NATS/1.0\r\nAccept-Encoding: {accepted}\r\n\r\n".encode()
    for port in ports:
        with sign_in(port, "sys") as wire:
            answer = wire.request("$SYS.REQ.SERVER.PING.VARZ", "", header)
            assert answer.header == b"NATS/1.0\r\nContent-Encoding: snappy\r\n\r\n"
            body = json.loads(bytes(cramjam.snappy.decompress(answer.payload)))
            assert body["data"]["server_id"] == wire.info["server_id"]


@pytest.mark.parametrize(("accepted", "encoding"), [("snappy", "identity"), ("snappy, gzip", "gzip")])
def test_without_its_package_there_is_no_snappy(accepted: str, encoding: str) -> None:
    program = (
        "import sys; sys.modules['cramjam'] = None\n"
        "from mq9fast.monitoring.content_encoding import accepted_encoding\n"
        f"print(accepted_encoding(b'NATS/1.0\\r\\nAccept-Encoding: {accepted}\\r\\n\\r\\n'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == encoding


FILTERS = {"a.b": 1, "a.*": 1, "*.b": 1, "a.>": 1, "a": 0, "a.b.c": 0, "b.>": 0, "x.y.z": 1, "x": 0, ">": 2}


@pytest.mark.parametrize("filtered", FILTERS)
def test_connections_by_subject(ports: tuple[int, int], filtered: str) -> None:
    """anna subscribes to two subjects, another connection to none."""
    for port, account in zip(ports, ("$G", "A"), strict=True):
        with sign_in(port, "anna") as anna, sign_in(port, "anna"):
            anna.sub("a.b", "1")
            anna.sub("x.*.>", "2")
            anna.ping()
            options = {"filter_subject": filtered, "acc": account, "user": "anna"}
            page = ask(port, "sys", "SERVER.PING.CONNZ", options)["data"]
            assert page["num_connections"] == FILTERS[filtered], (account, page)
