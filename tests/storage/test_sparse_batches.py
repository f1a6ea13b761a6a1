"""Sparse record batches: the store frees the disk space of their deleted messages."""

import os
from collections.abc import Callable
from pathlib import Path

from mq9fast.storage.layout import VERSION_KEY, mailbox_key
from mq9fast.storage.rocks import RocksStore
from tests.support.broker import Broker
from tests.support.in_memory import pub
from tests.support.mailbox import list_all
from tests.support.stored_rows import batch_key, deletion_bitmap, mailbox_record, message_key, record_batch
from tests.support.thinned import Thinned
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Message, Wire

COUNT = 60_000
MESSAGE_BYTES = 1024
LEFT = 64
MIB = 1 << 20
# Logs, and tables too small to be compacted.
FIXED_BYTES = 20 * MIB


def send_random_messages(wire: Wire, address: str, count: int) -> None:
    """Send messages that arrive together and share record batches."""
    wire.create(name=address)
    for first in range(0, count, 1000):
        payloads = (
            os.urandom(MESSAGE_BYTES // 2).hex().encode() for _ in range(first, min(first + 1000, count))
        )
        subject = f"{MAILBOX}MSG.{address}".encode()
        wire.send(
            b"".join(b"PUB %b %d\r\n%b\r\n" % (subject, MESSAGE_BYTES, payload) for payload in payloads)
        )
        wire.ping()


def delete_all_but_some(wire: Wire, address: str, count: int) -> None:
    """Delete all messages except every LEFT-th."""
    for first in range(0, count, 1000):
        ids = (n for n in range(first, min(first + 1000, count)) if n % LEFT)
        wire.send("".join(f"PUB {MAILBOX}DELETE.{address}.{n} 0\r\n\r\n" for n in ids))
        wire.ping()


def disk_bytes(directory: Path) -> int:
    size = 0
    for path in directory.iterdir():
        try:
            size += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return size


def test_idle_store_shrinks_to_four_times_its_messages(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire, Wire(broker.port) as reader:
        send_random_messages(wire, "box", COUNT)
        member = {message.msg_id for message in receive_as_member(reader, "box", 200)}
        delete_all_but_some(wire, "box", COUNT)
        left = list_all(wire, "box")
        assert sorted(left) == list(range(0, COUNT, LEFT))
        used = broker.loop_seconds
        wait_until(lambda: disk_bytes(broker.data_dir) < 4 * len(left) * MESSAGE_BYTES + FIXED_BYTES)
        assert broker.loop_seconds - used < 2
        assert list_all(wire, "box") == left
        # Replies to messages in flight refer to their location before the rewrite.
        for msg_id in sorted(member & set(left))[:2]:
            assert wire.delete("box", msg_id) == {"deleted": True}
            assert wire.delete("box", msg_id) == {"deleted": False}
            del left[msg_id]
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert list_all(wire, "box") == left
        wire.subscribe("box")
        assert {message.msg_id: message.payload.decode() for message in wire.messages(len(left))} == left
        for msg_id in left:
            assert wire.delete("box", msg_id) == {"deleted": True}
        assert wire.list("box")["total"] == 0


def receive_as_member(wire: Wire, address: str, count: int) -> list[Message]:
    """Receive messages as a member of a queue group, and leave them in flight."""
    wire.sub(f"{MAILBOX}MSG.{address}", "1", "group")
    wire.send(f"UNSUB 1 {count}\r\n")
    return wire.messages(count)


def test_deleted_messages_still_stored_count_toward_max_store_bytes() -> None:
    core = Thinned()
    core.limits.max_store_bytes = 20_000
    core.send(*(b"x" * 100 for _ in range(64)))
    core.send(*(b"y" * 100 for _ in range(64)))
    core.delete(*(n for n in range(128) if n % 64))
    sender = core.session()
    sender.feed(b"SUB in 1\r\n" + pub(b"$mq9.AI.MAILBOX.MSG.a", b"z" * 10_000, reply=b"in"))
    assert b"limit_exceeded" in sender.after_turn()
    # They do not count any more once the batches are rewritten.
    core.thin()
    sender.feed(pub(b"$mq9.AI.MAILBOX.MSG.a", b"z" * 10_000, reply=b"in"))
    assert b"msg_id" in sender.after_turn()


def test_deleted_message_makes_space_for_a_new_one_at_once() -> None:
    """A store at its limit accepts one message for each deletion, rewritten or not."""
    core = Thinned()
    core.limits.max_store_bytes = 6400
    core.send(*(b"x" * 100 for _ in range(64)))
    for msg_id in range(20):
        sender = core.session()
        sender.feed(b"SUB out 1\r\n" + pub(b"$mq9.AI.MAILBOX.MSG.a", b"z" * 100, reply=b"out"))
        assert b"limit_exceeded" in sender.after_turn()
        assert core.delete(msg_id) == [True]
        sender.feed(pub(b"$mq9.AI.MAILBOX.MSG.a", b"z" * 100, reply=b"out"))
        assert b"msg_id" in sender.after_turn()


def test_sparse_batches_of_format_2_are_rewritten_after_a_start(
    tmp_path: Path, start_broker: Callable[..., Broker]
) -> None:
    """Deletion bitmaps of format 2 do not record how many bytes are deleted."""
    batches, each, size = 8000, 8, 800
    kept = {}
    store = RocksStore(tmp_path / "data")
    written = store.new_batch()
    # Format 2 has no value log: put every value into RocksDB.
    batch = written.rows
    batch.put(VERSION_KEY, (2).to_bytes(8, "big"))
    for n in range(batches):
        messages = [(n * each + i, 1, b"", os.urandom(size // 2).hex().encode()) for i in range(each)]
        kept[n * each] = messages[0][3].decode()
        batch.put(batch_key(0, 2, messages[-1][0]), record_batch(messages))
        batch.put(message_key(0, 2, messages[-1][0]), deletion_bitmap(0b11111110))
    numbers = {"next_id": batches * each, "count2": batches, "size_bytes": batches * size}
    batch.put(mailbox_key(b"box"), mailbox_record(**numbers))
    store.write(written)
    store.close()
    before = disk_bytes(tmp_path / "data")
    broker = start_broker("--sync", "never", data_dir=tmp_path / "data")
    wait_until(lambda: disk_bytes(broker.data_dir) < before // 3)
    with Wire(broker.port) as wire:
        assert wire.list("box", limit=1)["total"] == batches
        assert list_all(wire, "box") == kept
