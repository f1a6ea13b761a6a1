"""Several users: signing in, and permissions for mailboxes and plain subjects."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import nkeys
import pytest

from tests.support.broker import Broker
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import MAILBOX, Wire

MSG = f"{MAILBOX}MSG."
HASH = bcrypt.hashpw(b"slow", bcrypt.gensalt(10)).decode()
SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
PUBLIC_KEY = nkeys.from_seed(bytearray(SEED)).public_key.decode()
CONFIG = f"""
default_permissions = {{ publish = "nothing", subscribe = "nothing" }}

[[users]]
user = "owner"
password = "owner"
permissions = {{}}

[[users]]
user = "planner"
password = "{HASH}"
permissions.publish = ["{MAILBOX}CREATE", "{MSG}task.*", "{MSG}log"]
permissions.subscribe = ["_INBOX.>", "{MSG}result.>"]

[[users]]
user = "worker"
password = "worker"
permissions.publish = {{ allow = ["{MSG}>", "{MAILBOX}DELETE.task.*.*"], deny = "{MSG}*.critical" }}
[users.permissions.subscribe]
allow = ["_INBOX.>", "{MSG}task.*", "{MSG}alert", "{MSG}shared pool.*"]
deny = ["{MSG}task.secret", "{MSG}alert.critical"]

[[users]]
nkey = "{PUBLIC_KEY}"

[[users]]
user = "default"
password = "default"
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    directory = tmp_path_factory.mktemp("users")
    config = directory / "mq9.toml"
    config.write_text(CONFIG)
    broker = Broker(directory / "data", "--config", str(config), "--log-level", "debug")
    with as_user(broker, "owner") as wire:
        for name in (
            "task.a",
            "task.secret",
            "task.a.b",
            "task.job",
            "log",
            "result.a",
            "alert",
            "shared",
            "task",
        ):
            wire.create(name=name)
    yield broker
    broker.end()


def as_user(broker: Broker, user: str, password: str | None = None) -> Wire:
    return Wire(broker.port, {"user": user, "pass": password or ("slow" if user == "planner" else user)})


def reply_to_line(wire: Wire, line: str) -> str:
    """The broker's reply to a line: an -ERR, or the PONG after it."""
    wire.send(f"{line}\r\nPING\r\n")
    answer = wire.line()
    if answer != "PONG":
        assert wire.line() == "PONG"
    return answer


def violation(what: str, subject: str) -> str:
    return f"-ERR 'Permissions Violation for {what} \"{subject}\"'"


@pytest.mark.parametrize(
    ("user", "subject", "allowed"),
    [
        # A list names a mailbox, with all its priorities, ...
        ("planner", f"{MSG}log", True),
        ("planner", f"{MSG}log.normal", True),
        ("planner", f"{MSG}log.urgent", True),
        ("planner", f"{MSG}log.critical", True),
        ("planner", f"{MSG}logs", False),
        # ... many mailboxes, ...
        ("planner", f"{MSG}task.a", True),
        ("planner", f"{MSG}task.a.critical", True),
        ("planner", f"{MSG}task.a.b", False),
        ("planner", f"{MSG}result.a", False),
        # ... or one priority of them.
        ("worker", f"{MSG}log.urgent", True),
        ("worker", f"{MSG}log.critical", False),
        ("worker", f"{MSG}result.a.critical", True),
        # The other commands are like any other subject.
        ("planner", f"{MAILBOX}CREATE", True),
        ("planner", f"{MAILBOX}LIST.log", False),
        ("planner", f"{MAILBOX}DELETE.log.0", False),
        ("worker", f"{MAILBOX}DELETE.task.a.0", True),
        ("worker", f"{MAILBOX}DELETE.log.0", False),
        ("worker", f"{MAILBOX}CREATE", False),
        ("owner", f"{MAILBOX}CREATE", True),
        ("default", f"{MAILBOX}CREATE", False),
        ("default", "nothing", True),
    ],
)
def test_permissions_allow_or_refuse_publishing(
    broker: Broker, user: str, subject: str, allowed: bool
) -> None:
    with as_user(broker, user) as wire:
        wire.ping()
        answer = reply_to_line(wire, f"PUB {subject} 2\r\n{{}}")
        assert answer == ("PONG" if allowed else violation("Publish to", subject))


@pytest.mark.parametrize(
    ("user", "subject", "queue", "allowed"),
    [
        ("planner", f"{MSG}result.a", "", True),
        ("planner", f"{MSG}result.a.*", "", True),
        ("planner", f"{MSG}result.a.urgent", "", True),
        ("planner", f"{MSG}task.a", "", False),
        # `result.>` includes `result.critical`, and so the mailbox `result`.
        ("planner", f"{MSG}result", "", True),
        ("worker", f"{MSG}task.a", "", True),
        ("worker", f"{MSG}task.a", "g", True),
        ("worker", f"{MSG}task.a.*", "", True),
        ("worker", f"{MSG}task.a.b", "", False),
        ("worker", f"{MSG}task.secret", "", False),
        ("worker", f"{MSG}task.secret.*", "", False),
        ("worker", f"{MSG}task.secret.urgent", "", False),
        # Denying one priority also denies subscriptions that would deliver it.
        ("worker", f"{MSG}alert.urgent", "", True),
        ("worker", f"{MSG}alert.normal", "", True),
        ("worker", f"{MSG}alert.critical", "", False),
        ("worker", f"{MSG}alert", "", False),
        ("worker", f"{MSG}alert.*", "", False),
        # Only in a queue group of this name.
        ("worker", f"{MSG}shared", "pool.a", True),
        ("worker", f"{MSG}shared.urgent", "pool.a", True),
        ("worker", f"{MSG}shared", "pool", False),
        ("worker", f"{MSG}shared", "", False),
        ("owner", f"{MSG}task.secret", "", True),
        ("default", f"{MSG}task.a", "", False),
        ("default", "nothing", "", True),
    ],
)
def test_permissions_allow_or_refuse_subscribing(
    broker: Broker, user: str, subject: str, queue: str, allowed: bool
) -> None:
    with as_user(broker, user) as wire:
        wire.ping()
        answer = reply_to_line(wire, f"SUB {subject} {queue} 1")
        expected = violation("Subscription to", subject)
        if queue:
            expected = expected[:-1] + f' using queue "{queue}"\''
        assert answer == ("PONG" if allowed else expected)


def test_refused_message_is_not_stored(broker: Broker) -> None:
    with as_user(broker, "owner") as owner, as_user(broker, "worker") as worker:
        owner.create(name="refused", ttl=60)
        worker.ping()
        assert reply_to_line(worker, f"PUB {MSG}refused.critical 1\r\nx").startswith("-ERR")
        assert reply_to_line(worker, f"PUB {MSG}refused.urgent 1\r\ny") == "PONG"
        assert [it["payload"] for it in owner.list("refused")["messages"]] == ["y"]


def test_reply_subject_needs_permission_to_subscribe_or_publish(broker: Broker) -> None:
    """Otherwise a client could make the broker publish where the client itself may not."""
    with as_user(broker, "planner") as planner, as_user(broker, "owner") as owner:
        owner.sub("control")
        owner.ping()
        planner.ping()
        answer = reply_to_line(planner, f"PUB {MSG}log control 1\r\nx")
        assert answer == violation("Publish with Reply of", "control")
        assert owner.silent()
        assert planner.msg("log", "y")["msg_id"] >= 0


def test_nats_py_reports_a_permissions_violation(broker: Broker) -> None:
    async def run() -> str:
        reported: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def note(error: Exception) -> None:
            reported.set_result(str(error))

        client = await connect(broker.url, user="worker", password="worker", error_cb=note)
        await client.publish("elsewhere", b"x")
        await client.flush()
        error = await asyncio.wait_for(reported, WAIT_SECONDS)
        assert client.is_connected
        await client.close()
        return error

    assert "permissions violation" in asyncio.run(run()).lower()


def test_worker_receives_and_deletes_within_its_permissions(broker: Broker) -> None:
    async def run() -> None:
        planner = await connect(broker.url, user="planner", password="slow")
        worker = await connect(broker.url, user="worker", password="worker")
        tasks = await worker.subscribe(f"{MSG}task.job", queue="g")
        await planner.publish(f"{MSG}task.job", b"do it")
        message = await tasks.next_msg(WAIT_SECONDS)
        assert message.data == b"do it"
        answer = await worker.request(message.reply)
        assert answer.data == b'{"deleted":true}'
        await planner.close()
        await worker.close()

    asyncio.run(run())


def test_nkey_signs_in_by_signing_the_nonce(broker: Broker, tmp_path: Path) -> None:
    """nats-py signs the nonce. The user of the NKEY has the default permissions."""
    seed = tmp_path / "user.nk"
    seed.write_bytes(SEED)

    async def run() -> None:
        for _ in range(2):
            client = await connect(broker.url, nkeys_seed=str(seed), max_reconnect_attempts=0)
            await client.publish("nothing", b"x")
            await client.flush()
            await client.close()

    asyncio.run(run())


def test_signature_is_not_valid_for_another_connection(broker: Broker) -> None:
    with Wire(broker.port, None) as one, Wire(broker.port, None) as other:
        assert one.info["nonce"] != other.info["nonce"]
        signature = nkeys.from_seed(bytearray(SEED)).sign(one.info["nonce"].encode())
        connect = f'CONNECT {{"nkey":"{PUBLIC_KEY}","sig":"{base64.urlsafe_b64encode(signature).decode()}"}}'
        other.send(connect + "\r\n")
        assert other.line() == "-ERR 'Authorization Violation'"
        one.send(connect + "\r\nPING\r\n")
        assert [one.line(), one.line()] == ["+OK", "PONG"]


@pytest.mark.parametrize("signature", ["", "é", "====", "A", "A" * 85, "A" * 1000, "\x00"])
def test_malformed_signature_is_refused(broker: Broker, signature: str) -> None:
    with Wire(broker.port, {"nkey": PUBLIC_KEY, "sig": signature}) as wire:
        assert wire.line() == "-ERR 'Authorization Violation'"


@pytest.mark.parametrize("password", ["fast", "", "slow\x00", "slow" * 100, HASH], ids=range(5))
def test_wrong_password_for_a_hash_is_refused(broker: Broker, password: str) -> None:
    with (
        as_user(broker, "planner", password or None)
        if password
        else Wire(broker.port, {"user": "planner"}) as wire
    ):
        assert wire.line() == "-ERR 'Authorization Violation'"
        assert wire.closed()


def test_clients_are_served_while_hashes_are_checked(broker: Broker) -> None:
    """Passwords waiting to be checked do not delay clients that have signed in."""
    with as_user(broker, "owner") as owner:
        owner.ping()
        waiting = [as_user(broker, "planner", f"wrong{number}") for number in range(20)]
        served = 0
        while not all(wire.closed(0.001) for wire in waiting):
            owner.ping()
            served += 1
        assert served > 20
        for wire in waiting:
            assert wire.line() == "-ERR 'Authorization Violation'"
            wire.close()


def test_client_can_close_while_its_password_is_checked(broker: Broker) -> None:
    for number in range(5):
        as_user(broker, "planner", f"gone{number}").close()
    with as_user(broker, "planner") as wire:
        wire.ping()


def test_secrets_are_not_logged(broker: Broker) -> None:
    text = broker.log.read_text()
    assert HASH not in text
    assert "wrong1" not in text
    assert SEED.decode() not in text
