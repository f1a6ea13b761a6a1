"""Messages whose mailbox is gone are found and dropped."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.data_directory import change_rows, pack_number, rows_of
from tests.support.faults.shim import Shim
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

StartBroker = Callable[..., Broker]


def message_rows(uid: int) -> dict[bytes, bytes]:
    """Rows as they would be of messages that came alone."""
    value = bytes([1]) + bytes(15) + b"left over"
    return {b"m" + pack_number(uid) + bytes([2]) + pack_number(msg_id): value for msg_id in range(3)}


def owned_uids(data_dir: Path) -> set[bytes]:
    return {value[8:16] for value in rows_of(data_dir, b"b").values()} | {
        key[1:] for key in rows_of(data_dir, b"p")
    }


def message_uids(data_dir: Path) -> set[bytes]:
    return {key[1:9] for key in rows_of(data_dir, b"m")}


def test_a_start_after_a_kill_drops_what_nobody_owns(start_broker: StartBroker) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        for n in range(300):
            wire.create(name=f"kept.{n}")
            wire.msg(f"kept.{n}", "kept")
    broker.kill()
    gone = {0, 7, 298}
    for uid in gone:
        change_rows(broker.data_dir, message_rows(uid), (f"bkept.{uid}".encode(),))
    change_rows(broker.data_dir, {b"n": pack_number(297)})
    broker.start()
    wait_until(lambda: "purging the orphaned messages of 3 ended mailboxes" in broker.log.read_text())
    with Wire(broker.port) as wire:
        assert wire.create(name="new")["is_new"]
        assert wire.list("new")["messages"] == []
        assert wire.list("kept.1")["messages"][0]["payload"] == "kept"
    broker.stop()
    assert message_uids(broker.data_dir) <= owned_uids(broker.data_dir)
    broker.start()
    wait_until(lambda: is_in_order(broker))
    broker.stop()
    assert message_uids(broker.data_dir) == {pack_number(uid) for uid in set(range(300)) - gone}
    # The next start has nothing to look for, the one after that has.
    assert rows_of(broker.data_dir, b"s")
    broker.start()
    broker.kill()
    assert not rows_of(broker.data_dir, b"s")


def test_no_mailbox_begins_with_the_messages_of_another(start_broker: StartBroker) -> None:
    broker = start_broker()
    broker.stop()
    change_rows(broker.data_dir, message_rows(0) | message_rows(1) | message_rows(5))
    broker.start()
    with Wire(broker.port) as wire:
        for n in range(8):
            wire.create(name=f"new.{n}")
            # Its first normal message has a higher id than those that are left over.
            for rank in (".urgent", ".urgent", ".urgent", ""):
                wire.msg(f"new.{n}{rank}", "own")
            assert [message["payload"] for message in wire.list(f"new.{n}")["messages"]] == ["own"] * 4


@pytest.mark.parametrize("sync", ["always", "never"])
def test_writes_fail_while_mailboxes_expire_and_then_the_broker_is_killed(
    start_broker: StartBroker, tmp_path: Path, sync: str
) -> None:
    shim = Shim(tmp_path)
    broker = start_broker("--sync", sync, "--monitor-port", "0", env=shim.env)
    names = [f"short.{n}" for n in range(50)]
    with Wire(broker.port) as wire:
        for name in names:
            wire.create(name=name, ttl=1)
            wire.msg(name, "gone")
            wire.msg(name, "deleted")
        with shim.failing("write", "*.log", errno.ENOSPC) as rule:
            wait_until(lambda: broker.metric("mq9fast_mailboxes") == 0)
            # Not again in the same place, so that some are ended by this and some by the clock.
            for name in names[:10]:
                assert wire.msg(name, "none")["code"] in {"mailbox_not_found", "store_unavailable"}
            rule.end()
        # Others take their places before the clock comes round.
        wire.send("".join(create(name) for name in names))
        wait_until(lambda: wire.create(name="last").get("mail_address") == "last")
    broker.kill()
    broker.start()
    wait_until(lambda: is_in_order(broker))
    broker.stop()
    assert message_uids(broker.data_dir) <= owned_uids(broker.data_dir)


def create(name: str) -> str:
    body = f'{{"name":"{name}"}}'
    return f"PUB {MAILBOX}CREATE {len(body)}\r\n{body}\r\n"


def is_in_order(broker: Broker) -> bool:
    """Whether it has looked through the whole store and dropped what it found. It is started again."""
    # Its clock is to come round.
    time.sleep(0.5)
    broker.stop()
    in_order = bool(rows_of(broker.data_dir, b"s")) and not rows_of(broker.data_dir, b"p")
    broker.start()
    return in_order
