"""The proved sender: clients that sign in with a name have it in what they send to mailboxes."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import nkeys
import pytest

from mq9fast._core.protocol.headers import sender_block
from tests.support.broker import Broker, start_error
from tests.support.configured_broker import ConfiguredBroker, StartBroker
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import MAILBOX, Wire

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
PUBLIC_KEY = nkeys.from_seed(bytearray(SEED)).public_key.decode()
NAMES = ["anna", "żółw 🐢", 'a "b" \\ c', "Mq9-From: boss", "x" * 2000]
HASH = bcrypt.hashpw(b"hashed", bcrypt.gensalt(4)).decode()
CONFIG = f'[[users]]\nnkey = "{PUBLIC_KEY}"\n[[users]]\nuser = "hashed"\npassword = "{HASH}"\n' + "".join(
    f'[[users]]\nuser = {json.dumps(name, ensure_ascii=False)}\npassword = "secret"\n' for name in NAMES
)
ANNA = '[[users]]\nuser = "anna"\npassword = "anna"\n'


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    directory = tmp_path_factory.mktemp("sender")
    config = directory / "mq9.toml"
    config.write_text(CONFIG)
    broker = Broker(directory / "data", "--config", str(config), "--sync", "never")
    yield broker
    broker.end()


def as_user(broker: Broker, name: str = "anna", **options: Any) -> Wire:
    wire = Wire(broker.port, {"user": name, "pass": "hashed" if name == "hashed" else "secret", **options})
    wire.ping()
    return wire


def sign_in_by_nkey(broker: Broker) -> Wire:
    wire = Wire(broker.port, None)
    signature = nkeys.from_seed(bytearray(SEED)).sign(wire.info["nonce"].encode())
    options = {"nkey": PUBLIC_KEY, "sig": base64.urlsafe_b64encode(signature).decode(), "headers": True}
    wire.send(f"CONNECT {json.dumps({'verbose': False, 'pedantic': False, **options})}\r\n")
    wire.ping()
    return wire


def send_and_read(broker: Broker, sender: Wire, address: str) -> tuple[bytes, str]:
    """The header of a message without headers, as it is delivered, and its sender, as LIST shows it."""
    with as_user(broker) as reader:
        reader.create(name=address)
        assert sender.msg(address, "body") == {"msg_id": 0}
        (listed,) = reader.list(address)["messages"]
        assert listed["headers"]["Mq9-From"] == listed["from"]
        reader.subscribe(address)
        message = reader.message()
        assert message.payload == b"body"
        return message.header, listed["from"]


@pytest.mark.parametrize("name", [*NAMES, "hashed"])
def test_user_name_is_the_sender(broker: Broker, address: str, name: str) -> None:
    with as_user(broker, name) as sender:
        assert send_and_read(broker, sender, address) == (sender_block(name.encode()), name)


def test_public_nkey_is_the_sender(broker: Broker, address: str) -> None:
    with sign_in_by_nkey(broker) as sender:
        assert send_and_read(broker, sender, address) == (sender_block(PUBLIC_KEY.encode()), PUBLIC_KEY)


def test_client_without_headers_has_a_sender_too(broker: Broker, address: str) -> None:
    with as_user(broker, headers=False, no_responders=False) as sender:
        assert send_and_read(broker, sender, address) == (sender_block(b"anna"), "anna")


def test_another_connect_changes_the_sender(broker: Broker, address: str) -> None:
    with as_user(broker, "hashed") as sender, as_user(broker) as reader:
        reader.create(name=address)
        again = json.dumps({"user": "anna", "pass": "secret"})
        sender.send(
            f"PUB {MAILBOX}MSG.{address} 1\r\na\r\nCONNECT {again}\r\nPUB {MAILBOX}MSG.{address} 1\r\nb\r\n"
            f"CONNECT {{}}\r\nPUB {MAILBOX}MSG.{address} 1\r\nc\r\n"
        )
        reader.subscribe(address)
        headers = [message.header for message in reader.messages(3)]
        assert headers == [sender_block(name) for name in (b"hashed", b"anna", b"anna")]


@pytest.mark.parametrize(
    ("flags", "connect"), [((), {}), (("--token", "anna"), {"auth_token": "anna"})], ids=["none", "token"]
)
def test_clients_without_a_name_have_no_sender(
    start_broker: StartBroker, flags: tuple[str, ...], connect: dict[str, str]
) -> None:
    broker = start_broker(*flags)
    with Wire(broker.port, {"user": "anna", "name": "anna", **connect}) as wire:
        wire.create(name="box")
        wire.msg("box", "plain")
        wire.msg("box", "forged", b"NATS/1.0\r\nMq9-From: anna\r\n\r\n")
        wire.msg("box", "forged", b"NATS/1.0\r\nA: b\r\nmq9-from: anna\r\n\r\n")
        wire.subscribe("box")
        headers = [message.header for message in wire.messages(3)]
        assert headers == [b"", b"NATS/1.0\r\n\r\n", b"NATS/1.0\r\nA: b\r\n\r\n"]
        assert not any("from" in message for message in wire.list("box")["messages"])


def test_reload_gives_and_takes_names(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", 'user = "anna"\npassword = "anna"\n')
    with broker.user("anna") as anna:
        anna.create(name="box")
        anna.msg("box", "single")
        broker.reload(ANNA)
        anna.msg("box", "listed")
        broker.reload("")
        anna.msg("box", "no sign-in")
        assert [it.get("from") for it in anna.list("box")["messages"]] == ["anna", "anna", None]
        broker.reload(ANNA)
        assert anna.closed()
    with broker.user("anna") as anna:
        anna.msg("box", "again")
        assert anna.list("box")["messages"][-1]["from"] == "anna"


def test_name_that_cannot_be_a_header_is_refused_at_a_start_and_a_reload(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    config = tmp_path / "bad.toml"
    config.write_text(ANNA.replace('"anna"\np', '"anna\\r\\nMq9-From: boss"\np'))
    sentence = "cannot be used: it has control characters, or blanks at its start or end"
    assert sentence in start_error("--config", config, "--data-dir", tmp_path / "none")
    assert sentence in start_error("--user", "anna ", MQ9FAST_PASSWORD="x")
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", ANNA)
    with broker.user("anna") as anna:
        broker.reload(config.read_text(), sentence)
        anna.create(name="box")
        anna.msg("box")
        assert anna.list("box")["messages"][0]["from"] == "anna"


def test_sender_that_does_not_fit_a_page_is_left_out(start_broker: StartBroker) -> None:
    broker = start_broker("--user", "n" * 1000, "--password", "p", "--max-payload", "1024")
    with Wire(broker.port, {"user": "n" * 1000, "pass": "p"}) as wire:
        wire.create(name="box")
        wire.msg("box", "x" * 1024)
        page = wire.request(f"{MAILBOX}LIST.box").payload
        assert len(page) <= 1024
        (listed,) = json.loads(page)["messages"]
        assert (listed["headers"], listed["payload_omitted"], listed["size"]) == ({}, True, 1024)
        assert "from" not in listed


def test_nats_py_reads_the_sender(broker: Broker, address: str) -> None:
    """Whatever a sender writes into other headers. nats-py's answer repeats all headers, and deletes."""

    async def run() -> None:
        sender = await connect(broker.url, user="anna", password="secret")
        reader = await connect(broker.url, user="hashed", password="hashed")
        await sender.request(MAILBOX + "CREATE", json.dumps({"name": address}).encode())
        messages = await reader.subscribe(f"{MAILBOX}MSG.{address}")
        for value in ("x", "x\x0bMq9-From: boss", "x\u2028Mq9-From: boss", "x\x85Mq9-From: boss", ""):
            await sender.publish(f"{MAILBOX}MSG.{address}", b"", headers={"A": value, "mq9-from": "boss"})
            message = await messages.next_msg(WAIT_SECONDS)
            assert message.headers is not None
            assert [message.headers[name] for name in message.headers if name.lower() == "mq9-from"] == [
                "anna"
            ]
            answer = await reader.request(message.reply, b"", headers=message.headers)
            assert answer.data == b'{"deleted":true}'
        await sender.close()
        await reader.close()

    asyncio.run(run())
