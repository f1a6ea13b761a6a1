"""Every limit: the broker accepts everything up to it, refuses what exceeds it, and loses nothing."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mq9fast.config.settings import Settings
from mq9fast.server.broker import Broker as InProcess
from mq9fast.server.housekeeping import TICK_SECONDS
from tests.support.broker import Broker
from tests.support.machine import kernel_bytes
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

MSG = MAILBOX + "MSG."
Start = Callable[..., Broker]


def test_create_over_max_mailboxes_is_refused(start_broker: Start) -> None:
    broker = start_broker("--max-mailboxes", "3")
    with Wire(broker.port) as wire:
        for name in ("a", "b"):
            assert wire.create(name=name)["is_new"]
        generated = wire.create(ttl=600)["mail_address"]
        for fields in ({"name": "d"}, {}, {"prefix": "p"}, {"name": "d", "public": True}):
            reply = wire.create(**fields)
            assert set(reply) == {"error", "code"}
            assert reply["code"] == "limit_exceeded"
        assert wire.create(name="a")["is_new"] is False
        assert wire.msg("a") == {"msg_id": 0}
        assert wire.msg("d")["code"] == "mailbox_not_found"
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert wire.create(name="d")["code"] == "limit_exceeded"
        assert wire.msg(generated) == {"msg_id": 0}
        wire.create(name=generated, ttl=1)
        wait_until(lambda: "code" not in wire.create(name="d"))
        assert wire.create(name="e")["code"] == "limit_exceeded"


def test_message_over_max_mailbox_messages_is_refused(start_broker: Start) -> None:
    broker = start_broker("--max-mailbox-messages", "3")
    with Wire(broker.port) as wire:
        wire.create(name="a")
        wire.create(name="b")
        for n, suffix in enumerate(("", ".urgent", ".critical")):
            assert wire.msg("a" + suffix, str(n)) == {"msg_id": n}
        for suffix in ("", ".urgent", ".critical"):
            assert wire.msg("a" + suffix)["code"] == "limit_exceeded"
        wire.pub(MSG + "a", "dropped")
        assert wire.msg("b") == {"msg_id": 0}
        assert [m["payload"] for m in wire.list("a")["messages"]] == ["2", "1", "0"]
        wire.delete("a", 1)
        assert wire.msg("a", "3") == {"msg_id": 3}
        assert wire.msg("a")["code"] == "limit_exceeded"
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert wire.msg("a")["code"] == "limit_exceeded"
        assert [m["payload"] for m in wire.list("a")["messages"]] == ["2", "0", "3"]
        wire.send("".join(f"PUB {MAILBOX}DELETE.a.{n} 0\r\n\r\n" for n in (0, 2, 3)))
        assert wire.msg("a") == {"msg_id": 4}


def test_message_over_max_mailbox_bytes_is_refused(start_broker: Start) -> None:
    broker = start_broker("--max-mailbox-bytes", "1000")
    header = b"NATS/1.0\r\nA: 1\r\n\r\n"
    with Wire(broker.port) as wire:
        wire.create(name="a")
        wire.create(name="b")
        assert wire.msg("a", "x" * 1001)["code"] == "limit_exceeded"
        assert wire.msg("a", "x" * 600) == {"msg_id": 0}
        assert wire.msg("a", "x" * 401)["code"] == "limit_exceeded"
        assert wire.msg("a", "x" * (401 - len(header)), header)["code"] == "limit_exceeded"
        assert wire.msg("a", "x" * (400 - len(header)), header) == {"msg_id": 1}
        assert wire.msg("a", "x")["code"] == "limit_exceeded"
        assert wire.msg("a", "") == {"msg_id": 2}
        assert wire.msg("b", "x" * 1000) == {"msg_id": 0}
    broker.restart()
    with Wire(broker.port) as wire:
        assert wire.msg("a", "x")["code"] == "limit_exceeded"
        wire.sub(MSG + "a", "1", "workers")
        for message in wire.messages(3):
            assert wire.request(message.reply).json == {"deleted": True}
        assert wire.msg("a", "x" * 1000) == {"msg_id": 3}
        assert wire.msg("a", "x")["code"] == "limit_exceeded"


def test_message_over_max_store_bytes_is_refused(start_broker: Start) -> None:
    broker = start_broker("--max-store-bytes", "1000")
    with Wire(broker.port) as wire:
        wire.create(name="a")
        wire.create(name="b", ttl=600)
        assert wire.msg("a", "x" * 600) == {"msg_id": 0}
        assert wire.msg("b", "x" * 400) == {"msg_id": 0}
        assert wire.msg("a", "x")["code"] == wire.msg("b", "x")["code"] == "limit_exceeded"
        assert len(wire.list("a")["messages"][0]["payload"]) == 600
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert wire.msg("a", "x")["code"] == "limit_exceeded"
        wire.create(name="b", ttl=1)
        wait_until(lambda: wire.msg("a", "x" * 400).get("msg_id") == 1)
        assert wire.msg("a", "x")["code"] == "limit_exceeded"
        wire.delete("a", 0)
        assert wire.msg("a", "x" * 600) == {"msg_id": 2}
        assert wire.msg("a", "x")["code"] == "limit_exceeded"


def test_counts_stay_right_through_sends_and_deletions(start_broker: Start) -> None:
    """Messages are sent, and deleted by request, by members and in one packet: the count stays exact."""
    broker = start_broker("--max-mailbox-messages", "10", "--max-mailbox-bytes", "10", "--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="a")
        next_id = 0
        for turn in range(30):
            wire.sub(MSG + "a", f"s{turn}", "workers")
            for _ in range(10):
                assert wire.msg("a" + ("", ".urgent", ".critical")[next_id % 3], "x") == {"msg_id": next_id}
                next_id += 1
            assert wire.msg("a", "x")["code"] == "limit_exceeded"
            messages = wire.messages(10)
            if turn % 3 == 0:
                wire.send("".join(f"PUB {m.reply} 0\r\n\r\n" * 2 for m in messages))
            elif turn % 3 == 1:
                wire.send(f"UNSUB s{turn}\r\n" + "".join(f"PUB {m.reply} 0\r\n\r\n" for m in messages))
            else:
                for message in messages:
                    assert wire.request(message.reply).json == {"deleted": True}
            wire.send(f"UNSUB s{turn}\r\n")
            wire.ping()
            wait_until(lambda: wire.list("a")["total"] == 0)


@pytest.mark.parametrize("prefix", ["plain", MSG + "a"])
def test_subscription_over_max_subscriptions_is_refused(start_broker: Start, prefix: str) -> None:
    broker = start_broker("--max-subscriptions", "3")
    with Wire(broker.port) as wire, Wire(broker.port) as other:
        for n in range(3):
            wire.sub(f"{prefix}.x{n}", str(n))
        wire.ping()
        wire.sub(f"{prefix}.x3", "3")
        assert wire.line().lower() == "-err 'maximum subscriptions exceeded'"
        wire.ping()
        other.sub(f"{prefix}.x3", "3")
        other.ping()
        wire.send(f"UNSUB 1\r\nSUB {prefix}.x3 3\r\n")
        wire.ping()
        wire.sub(f"{prefix}.x4", "4")
        assert wire.line().lower() == "-err 'maximum subscriptions exceeded'"
        wire.sub(f"{prefix}.x4", "3")
        assert wire.line().lower() == "-err 'maximum subscriptions exceeded'"
        wire.ping()


def test_connection_over_max_connections_is_refused(start_broker: Start) -> None:
    broker = start_broker("--max-connections", "3")
    wires = [Wire(broker.port) for _ in range(3)]
    for wire in wires:
        wire.ping()
    with Wire(broker.port, None) as refused:
        assert refused.closed()
        assert refused.unread == b"-ERR 'maximum connections exceeded'\r\n"
    for wire in wires:
        wire.ping()
    wires.pop().close()

    def accepted() -> bool:
        with Wire(broker.port, None) as wire:
            wire.send("PING\r\n")
            try:
                return wire.line() == "PONG"
            except (EOFError, ConnectionError):
                return False

    wait_until(accepted)
    for wire in wires:
        wire.ping()
        wire.close()


def test_message_over_max_payload_closes_the_connection(start_broker: Start) -> None:
    broker = start_broker("--max-payload", "100")
    with Wire(broker.port) as wire:
        assert wire.info["max_payload"] == 100
        body = json.dumps({"name": "a"})
        assert wire.request(MAILBOX + "CREATE", body).json["is_new"]
        assert wire.msg("a", "x" * 100) == {"msg_id": 0}
        wire.send(f"PUB {MSG}a 101\r\n")
        assert wire.closed()
        assert wire.unread == b"-ERR 'Maximum Payload Violation'\r\n"
    with Wire(broker.port) as wire:
        wire.subscribe("a")
        assert wire.message().payload == b"x" * 100


def test_line_over_max_control_line_closes_the_connection(start_broker: Start) -> None:
    broker = start_broker("--max-control-line", "100")
    with Wire(broker.port, None) as wire:
        # The verb does not count, like on nats-server.
        wire.send(f"CONNECT {json.dumps({'verbose': False})}\r\nSUB {'s' * 98} 1\r\n")
        wire.ping()
        wire.send(f"SUB {'s' * 99} 2\r\n")
        assert wire.closed()
        assert wire.unread == b"-ERR 'maximum control line exceeded'\r\n"


def test_client_over_max_pending_is_closed(start_broker: Start) -> None:
    """A client can receive almost max_pending bytes in one turn. Leaving more bytes unread closes it."""
    broker = start_broker("--max-pending", "2000000", "--write-deadline", "60")
    with Wire(broker.port, receive_bytes=65536) as reader, Wire(broker.port) as sender:
        reader.sub("a")
        reader.ping()
        sender.send(b"PUB a 1000\r\n%s\r\n" % (b"x" * 1000) * 1900)
        sender.ping()
        assert len(reader.messages(1900)) == 1900
        sender.send(b"PUB a 1000\r\n%s\r\n" % (b"x" * 1000) * ((kernel_bytes() + 4_000_000) // 1000))
        sender.ping()
        assert reader.closed()
        assert reader.unread.endswith(b"-ERR 'Slow Consumer'\r\n")


def test_client_over_ping_max_is_closed(start_broker: Start) -> None:
    broker = start_broker("--ping-interval", "0.8", "--ping-max", "3")
    with Wire(broker.port) as answering, Wire(broker.port) as silent:
        began = time.monotonic()
        # A client may leave up to ping_max PINGs unanswered; each PONG starts the count again.
        for _ in range(2):
            for _ in range(3):
                assert answering.line() == "PING"
            answering.send("PONG\r\n")
        assert [silent.line() for _ in range(4)] == ["PING"] * 3 + ["-ERR 'Stale Connection'"]
        assert silent.closed()
        assert time.monotonic() - began >= 0.8 * 6
        answering.ping()


def test_client_without_connect_is_closed_after_auth_timeout(start_broker: Start) -> None:
    broker = start_broker("--token", "t", "--auth-timeout", "2")
    began = time.monotonic()
    with Wire(broker.port, None) as early, Wire(broker.port, None) as late:
        time.sleep(0.5)
        early.send('CONNECT {"auth_token":"t","verbose":false}\r\n')
        early.ping()
        assert late.closed()
        assert time.monotonic() - began > 1.9
        assert late.unread == b"-ERR 'Authentication Timeout'\r\n"
        early.ping()


@pytest.mark.parametrize(("free", "accepted"), [(1000, True), (999, False)])
def test_messages_are_refused_below_min_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, accepted: bool
) -> None:
    """The broker accepts messages if min_free bytes are free on the disk, and refuses them with one less."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1))

    async def send() -> bytes:
        broker = InProcess(Settings(port=0, monitor_port=-1, data_dir=str(tmp_path / "data"), min_free=1000))
        await broker.start()
        await asyncio.sleep(TICK_SECONDS)
        client = await connect(f"nats://127.0.0.1:{broker.address[1]}")
        await client.request(MAILBOX + "CREATE", b'{"name":"a"}')
        answer = await client.request(MSG + "a", b"x")
        await client.close()
        await broker.stop()
        return answer.data

    assert (b'"msg_id":0' in asyncio.run(send())) is accepted


def test_lame_duck_closes_clients_over_its_duration(start_broker: Start) -> None:
    """Ten clients are closed one after the other over the whole duration."""
    broker = start_broker("--lame-duck-duration", "1")
    wires = [Wire(broker.port) for _ in range(10)]
    for wire in wires:
        wire.ping()
    began = time.monotonic()
    broker.process.send_signal(signal.SIGUSR2)
    for number, wire in enumerate(wires, 1):
        assert wire.closed()
        assert time.monotonic() - began > number / 10 * 0.8
        wire.close()
    assert broker.process.wait(WAIT_SECONDS) == 0
    broker._close_output()


def test_message_creates_no_mailbox_by_default(start_broker: Start) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        assert wire.msg("a")["code"] == "mailbox_not_found"
        wire.pub(MSG + "a", "x")
        assert wire.create(name="a") == {"mail_address": "a", "is_new": True}
        assert wire.list("a")["total"] == 0


def test_auto_create_creates_the_mailbox_of_a_message(start_broker: Start) -> None:
    broker = start_broker("--auto-create", "--max-mailboxes", "3")
    with Wire(broker.port) as wire:
        wire.sub(MSG + "waited.for", "1")
        assert wire.list("a")["code"] == "mailbox_not_found"
        assert wire.delete("a", 0)["code"] == "mailbox_not_found"
        assert wire.msg("a.urgent", "x") == {"msg_id": 0}
        wire.pub(MSG + "waited.for", "x")
        assert wire.message().payload == b"x"
        assert wire.create(name="a") == {"mail_address": "a", "is_new": False}
        assert wire.create(name="a", public=True)["code"] == "mailbox_conflict"
        assert wire.msg("A")["code"] == "invalid_address"
        assert wire.msg("b") == {"msg_id": 0}
        assert wire.msg("c")["code"] == "limit_exceeded"
        wire.pub(MSG + "c", "dropped")
        assert wire.create(name="c")["code"] == "limit_exceeded"
        assert wire.msg("b") == {"msg_id": 1}
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert [m["payload"] for m in wire.list("a")["messages"]] == ["x"]
        assert wire.list("waited.for")["total"] == 1
        assert wire.list("c")["code"] == "mailbox_not_found"


def test_message_refused_for_min_free_creates_no_mailbox(start_broker: Start) -> None:
    broker = start_broker("--auto-create", "--min-free", str(2**62))
    with Wire(broker.port) as wire:
        wait_until(lambda: wire.msg("a").get("code") == "store_unavailable")
        assert wire.msg("b")["code"] == "store_unavailable"
        assert wire.list("b")["code"] == "mailbox_not_found"


def test_message_over_max_mailbox_bytes_creates_no_mailbox(start_broker: Start) -> None:
    broker = start_broker("--auto-create", "--max-mailbox-bytes", "10")
    with Wire(broker.port) as wire:
        assert wire.msg("a", "x" * 11)["code"] == "limit_exceeded"
        assert wire.list("a")["code"] == "mailbox_not_found"
        assert wire.msg("a", "x" * 10) == {"msg_id": 0}


def test_auto_created_mailbox_has_no_ttl_until_create_sets_one(start_broker: Start) -> None:
    broker = start_broker("--auto-create")
    with Wire(broker.port) as wire:
        assert wire.msg("a") == {"msg_id": 0}
        assert wire.create(name="a", ttl=1)["is_new"] is False
        wait_until(lambda: "code" in wire.list("a"))
        assert wire.msg("a") == {"msg_id": 0}


def test_message_over_a_limit_without_a_reply_subject_is_dropped(start_broker: Start) -> None:
    broker = start_broker("--max-mailbox-messages", "1")
    with Wire(broker.port) as wire:
        wire.create(name="a")
        wire.subscribe("a")
        for n in range(5):
            wire.pub(MSG + "a", str(n))
        assert wire.message().payload == b"0"
        wire.ping()
        assert wire.silent(0.05)
        assert wire.list("a")["total"] == 1
