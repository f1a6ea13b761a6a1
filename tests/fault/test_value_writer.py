"""A thread writes large values to a segment: nothing else waits, and what follows a failure fails too."""

import errno
import threading
import time
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.faults.shim import Shim
from tests.support.mailbox import list_all
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire, read_messages

LARGE = "x" * (512 << 10)
SLOW_SECONDS = 0.5
# Less than the 8 MiB that a group may take while nothing is written.
FLOOD_BYTES, FLOOD_COUNT = 64 << 10, 100
# Senders wait from the first of these on. They were read up to half a MiB at a time.
ONE_GROUP_BYTES, MOST_READ_BYTES = 900_000, 2 << 20
SEGMENTS = "values-*.seg"

Start = Callable[..., Broker]
pytestmark = pytest.mark.parametrize("mode", ["interval", "never"])


def send(wire: Wire, payload: str, reply: str) -> None:
    wire.pub(f"{MAILBOX}MSG.box", payload.encode(), reply)


def test_broker_serves_while_large_values_are_written_slowly(start: Start, shim: Shim, mode: str) -> None:
    broker = start("--sync", mode)
    with Wire(broker.port) as sender, Wire(broker.port) as other:
        sender.create(name="box")
        assert "msg_id" in sender.msg("box", LARGE)
        sender.send("SUB in.* 1\r\n")
        answers = read_messages(sender)
        with shim.failing("write", SEGMENTS, wait=SLOW_SECONDS) as rule:
            before = rule.seen
            send(sender, LARGE, "in.large")
            wait_until(lambda: rule.seen > before)
            begin = time.monotonic()
            other.send("PING\r\n")
            assert other.line() == "PONG"
            assert time.monotonic() - begin < SLOW_SECONDS / 2
            send(sender, "small", "in.small")
            assert [next(answers).subject for _ in range(2)] == ["in.large", "in.small"]
        assert len(list_all(other, "box")) == 3


def test_senders_wait_while_the_group_before_is_written(start: Start, shim: Shim, mode: str) -> None:
    """Otherwise the next group would take 8 MiB, and a client with one message would wait for all of it."""
    broker = start("--sync", mode)
    with Wire(broker.port) as wire, Wire(broker.port) as flooding:
        wire.create(name="box")
        assert "msg_id" in wire.msg("box", LARGE)
        with shim.failing("write", SEGMENTS, wait=4 * SLOW_SECONDS, most=1) as rule:
            send(wire, LARGE, "in.large")
            wait_until(lambda: rule.seen)
            before = broker.metric("mq9fast_in_bytes_total")
            frame = f"PUB {MAILBOX}MSG.box {FLOOD_BYTES}\r\n{LARGE[:FLOOD_BYTES]}\r\n".encode()
            sending = threading.Thread(target=flooding.send, args=(frame * FLOOD_COUNT,))
            sending.start()
            wait_until(lambda: broker.metric("mq9fast_in_bytes_total") > before + ONE_GROUP_BYTES)
            # Without the limit, the broker would read the rest within milliseconds.
            time.sleep(SLOW_SECONDS)
            read = broker.metric("mq9fast_in_bytes_total") - before
            # On a slow machine the write may have ended, and says nothing.
            assert read < MOST_READ_BYTES or rule.seen > 1
        sending.join()
        flooding.ping()
        assert wire.list("box")["total"] == 2 + FLOOD_COUNT


def test_message_is_deleted_while_it_is_written(start: Start, shim: Shim, mode: str) -> None:
    broker = start("--sync", mode)
    with Wire(broker.port) as wire:
        wire.create(name="box")
        assert wire.msg("box", LARGE)["msg_id"] == 0
        wire.send("SUB in.* 1\r\n")
        answers = read_messages(wire)
        with shim.failing("write", SEGMENTS, wait=SLOW_SECONDS) as rule:
            before = rule.seen
            send(wire, LARGE, "in.large")
            wait_until(lambda: rule.seen > before)
            wire.pub(f"{MAILBOX}DELETE.box.1", b"", "in.delete")
            assert next(answers).json == {"msg_id": 1}
            assert next(answers).json == {"deleted": True}
        assert list(list_all(wire, "box")) == [0]
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert list(list_all(wire, "box")) == [0]


def test_deletions_on_both_sides_of_a_slow_write_are_kept(start: Start, shim: Shim, mode: str) -> None:
    """Both are in one deletion bitmap. The second one must not replace the bitmap that has the first one."""
    broker = start("--sync", mode)
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.send("".join(f"PUB {MAILBOX}MSG.box 1\r\n{n}\r\n" for n in range(3)))
        wire.ping()
        assert "msg_id" in wire.msg("box", LARGE)
    broker.restart()
    with Wire(broker.port) as member:
        member.subscribe("box", queue="workers")
        held = member.messages(4)
        member.sub("in.*", "9")
        slow = shim.fail("write", SEGMENTS, wait=SLOW_SECONDS)
        # The answer comes with the last bytes of the message, so both are in one commit group.
        answer = f"PUB {held[1].reply} in.first 0\r\n\r\n"
        member.send(f"PUB {MAILBOX}MSG.box in.large {len(LARGE)}\r\n{LARGE}\r\n{answer}")
        wait_until(lambda: slow.seen > 0)
        # The message of another row first, so that the bitmap is not at hand any more.
        for message in (held[3], held[0]):
            member.pub(message.reply, b"", "in.later")
        replies = [message.subject for message in member.messages(5) if message.sid == "9"]
        assert sorted(replies) == ["in.first", "in.large", "in.later", "in.later"]
        slow.end()
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert list(list_all(wire, "box")) == [2, 4]
        assert wire.list("box")["total"] == 2


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["eio", "enospc"])
def test_what_follows_a_failed_write_fails_too(start: Start, shim: Shim, error: int, mode: str) -> None:
    broker = start("--sync", mode)
    with Wire(broker.port) as wire:
        wire.create(name="box")
        assert wire.msg("box", LARGE)["msg_id"] == 0
        wire.send("SUB in.* 1\r\n")
        answers = read_messages(wire)
        slow = shim.fail("write", SEGMENTS, wait=SLOW_SECONDS)
        before = slow.seen
        with shim.failing("write", SEGMENTS, error):
            send(wire, LARGE, "in.large")
            wait_until(lambda: slow.seen > before)
            send(wire, "small", "in.small")
            codes = [next(answers).json.get("code") for _ in range(2)]
            assert codes == ["store_unavailable", "store_unavailable"]
        slow.end()
        wait_until(lambda: not broker.health)
        assert list(list_all(wire, "box")) == [0]
        assert "msg_id" in wire.msg("box", "after")
        assert wire.list("box")["total"] == 2
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert wire.list("box")["total"] == 2


def test_stop_writes_what_a_thread_has_begun(start: Start, shim: Shim, mode: str) -> None:
    broker = start("--sync", mode)
    with Wire(broker.port) as wire:
        wire.create(name="box")
        assert "msg_id" in wire.msg("box", LARGE)
        wire.send("SUB in.* 1\r\n")
        with shim.failing("write", SEGMENTS, wait=SLOW_SECONDS) as rule:
            before = rule.seen
            send(wire, LARGE, "in.large")
            wait_until(lambda: rule.seen > before)
            broker.stop()
        assert next(read_messages(wire)).json == {"msg_id": 1}
    broker.restart()
    with Wire(broker.port) as wire:
        assert len(list_all(wire, "box")) == 2


def test_kill_during_a_write_loses_nothing_that_was_acknowledged(start: Start, shim: Shim, mode: str) -> None:
    broker = start("--sync", mode)
    with Wire(broker.port) as wire:
        wire.create(name="box")
        assert "msg_id" in wire.msg("box", LARGE)
        with shim.failing("write", SEGMENTS, wait=SLOW_SECONDS, skip=1) as rule:
            send(wire, LARGE, "in.large")
            wait_until(lambda: rule.seen > 1)
            broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert list_all(wire, "box") == {0: LARGE}
        assert "msg_id" in wire.msg("box", LARGE)
        assert len(list_all(wire, "box")) == 2


def test_large_values_are_written_without_a_thread(start: Start, shim: Shim, mode: str) -> None:
    broker = start("--sync", mode)
    with Wire(broker.port) as wire, shim.failing("thread", "*", errno.EAGAIN) as rule:
        wire.create(name="box")
        for _ in range(2):
            assert "msg_id" in wire.msg("box", LARGE)
        assert len(list_all(wire, "box")) == 2
        assert rule.seen == 1
    assert "no thread was started" in broker.log.read_text()
