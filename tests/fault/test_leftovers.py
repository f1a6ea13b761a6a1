"""Orphaned messages, whose mailbox does not exist any more, are found and dropped."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.data_directory import change_rows, pack_number, rows_of
from tests.support.faults.shim import Shim
from tests.support.mailbox import create_line
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


def message_rows(uid: int) -> dict[bytes, bytes]:
    """Rows of messages, each stored alone."""
    value = bytes([1]) + bytes(15) + b"left over"
    return {b"m" + pack_number(uid) + bytes([2]) + pack_number(msg_id): value for msg_id in range(3)}


def owned_uids(data_dir: Path) -> set[bytes]:
    return {value[8:16] for value in rows_of(data_dir, b"b").values()} | {
        key[1:] for key in rows_of(data_dir, b"p")
    }


def message_uids(data_dir: Path) -> set[bytes]:
    return {key[1:9] for key in rows_of(data_dir, b"m")}


def test_start_after_a_kill_drops_orphaned_messages(start_broker: StartBroker) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        for n in range(300):
            wire.create(name=f"kept.{n}")
            wire.msg(f"kept.{n}", "kept")
    broker.kill()
    missing = {0, 7, 298}
    for uid in missing:
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
    wait_until(lambda: is_cleaned_up(broker))
    broker.stop()
    assert message_uids(broker.data_dir) == {pack_number(uid) for uid in set(range(300)) - missing}
    # The next start does not need to search for orphans; after the kill, another start does.
    assert rows_of(broker.data_dir, b"s")
    broker.start()
    broker.kill()
    assert not rows_of(broker.data_dir, b"s")


def test_new_mailbox_does_not_contain_orphaned_messages(start_broker: StartBroker) -> None:
    broker = start_broker()
    broker.stop()
    change_rows(broker.data_dir, message_rows(0) | message_rows(1) | message_rows(5))
    broker.start()
    with Wire(broker.port) as wire:
        for n in range(8):
            wire.create(name=f"new.{n}")
            # The first normal message gets a higher id than the orphaned ones.
            for rank in (".urgent", ".urgent", ".urgent", ""):
                wire.msg(f"new.{n}{rank}", "own")
            assert [message["payload"] for message in wire.list(f"new.{n}")["messages"]] == ["own"] * 4


@pytest.mark.parametrize("sync", ["always", "never"])
def test_no_orphaned_messages_after_failed_writes_during_expiry_and_a_kill(
    start_broker: StartBroker, tmp_path: Path, sync: str
) -> None:
    shim = Shim(tmp_path)
    broker = start_broker("--sync", sync, "--monitor-port", "0", env=shim.env)
    names = [f"short.{n}" for n in range(50)]
    with Wire(broker.port) as wire:
        for name in names:
            wire.create(name=name, ttl=1)
            wire.msg(name, "expired")
            wire.msg(name, "deleted")
        with shim.failing("write", "*.log", errno.ENOSPC) as rule:
            wait_until(lambda: broker.metric("mq9fast_mailboxes") == 0)
            # Some mailboxes are ended by these requests, the others by housekeeping.
            for name in names[:10]:
                assert wire.msg(name, "none")["code"] in {"mailbox_not_found", "store_unavailable"}
            rule.end()
        # New mailboxes with the same names begin before housekeeping runs.
        wire.send("".join(create_line(name=name) for name in names))
        wait_until(lambda: wire.create(name="last").get("mail_address") == "last")
    broker.kill()
    broker.start()
    wait_until(lambda: is_cleaned_up(broker))
    broker.stop()
    assert message_uids(broker.data_dir) <= owned_uids(broker.data_dir)


def is_cleaned_up(broker: Broker) -> bool:
    """Whether the broker has searched the whole store and dropped all orphans. Restarts the broker."""
    # Housekeeping runs meanwhile.
    time.sleep(0.5)
    broker.stop()
    in_order = bool(rows_of(broker.data_dir, b"s")) and not rows_of(broker.data_dir, b"p")
    broker.start()
    return in_order
