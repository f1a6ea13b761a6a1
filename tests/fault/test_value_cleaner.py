"""The value cleaner gives back the space of deleted messages, and loses none, whatever fails meanwhile."""

import errno
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.commit.value_cleaner import MIN_DEAD_BYTES_IN_NEED
from tests.support.broker import Broker
from tests.support.data_directory import pretend_reboot
from tests.support.faults.shim import Shim
from tests.support.mailbox import list_all, send_each
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

Start = Callable[..., Broker]

MESSAGES = 800
# Each message is a row, whose value is in the value log.
PAYLOAD = "x" * 2000
LARGEST = len(PAYLOAD) + 60
# The cleaner runs at once while the disk has less than this free.
HUGE = ("--min-free", str(1 << 60))
# The broker is killed in this call: the number counts from its start.
MOMENTS = [
    ("write", "values-00000003.seg", 2),
    ("fsync", "values-00000003.seg", 1),
    ("fsync", "*.log", 2),
    ("fsync", "*.log", 3),
    ("unlink", "*.seg", 1),
    ("unlink", "*.seg", 2),
]


def segment_bytes(path: Path) -> int:
    """The size of all segments. The broker may delete one meanwhile."""
    sizes = []
    for file in path.glob("*.seg"):
        try:
            sizes.append(file.stat().st_size)
        except FileNotFoundError:
            continue
    return sum(sizes)


def segments(broker: Broker) -> list[str]:
    return sorted(file.name for file in broker.data_dir.glob("*.seg"))


def delete_all_but(wire: Wire, address: str, kept: range) -> None:
    """Delete the messages whose ids are not in `kept`."""
    wire.send(
        "".join(
            f"PUB {MAILBOX}DELETE.{address}.{msg_id} 0\r\n\r\n"
            for msg_id in range(MESSAGES)
            if msg_id not in kept
        )
    )
    wait_until(lambda: wire.list(address, limit=1)["total"] == len(kept))


@pytest.fixture
def broker(start: Start) -> Broker:
    """A broker with two sparse segments, in which each twentieth message is left."""
    broker = start("--sync", "never")
    for address in ("one", "two"):
        send_each(broker.port, address, MESSAGES, PAYLOAD)
        broker.restart()
    with Wire(broker.port) as wire:
        for address in ("one", "two"):
            delete_all_but(wire, address, range(0, MESSAGES, 20))
    assert segments(broker) == ["values-00000001.seg", "values-00000002.seg"]
    broker.stop()
    broker.flags = (*broker.flags, "--sync", "always", *HUGE)
    return broker


def check(broker: Broker, kept: range = range(0, MESSAGES, 20)) -> None:
    """Check the messages of the fixture."""
    with Wire(broker.port) as wire:
        for address in ("one", "two"):
            assert list_all(wire, address) == dict.fromkeys(kept, PAYLOAD)
            assert wire.list(address, limit=1)["total"] == len(kept)


def test_idle_broker_deletes_drained_segments(start: Start) -> None:
    broker = start()
    send_each(broker.port, "box", MESSAGES, PAYLOAD)
    with Wire(broker.port) as wire:
        delete_all_but(wire, "box", range(MESSAGES - 1, MESSAGES))
        assert segment_bytes(broker.data_dir) > MESSAGES * len(PAYLOAD)
        wait_until(lambda: segment_bytes(broker.data_dir) < 2 * len(PAYLOAD))
        assert list_all(wire, "box") == {MESSAGES - 1: PAYLOAD}
        assert wire.msg("box", PAYLOAD) == {"msg_id": MESSAGES}
    for kill in (True, False):
        broker.restart(kill=kill)
        with Wire(broker.port) as wire:
            assert list_all(wire, "box") == {MESSAGES - 1: PAYLOAD, MESSAGES: PAYLOAD}


# It fails when it looks at every row of the store.
DRAINS_ONLY = """
import sys
from mq9fast.__main__ import main
from mq9fast.commit import value_cleaner
from mq9fast.storage import segment
segment.MAX_SEGMENT_BYTES = 1 << 20
value_cleaner.LiveValues = None
"""
# Nor does it look for rows.
LOOKS_FOR_NONE = """
from mq9fast.storage.key_spans import KeySpans
KeySpans.drained = lambda spans, scan, until: len(spans) == 0
"""


@pytest.mark.parametrize("ends", [False, True], ids=["drained", "ended"])
def test_segments_are_deleted_without_a_look_at_every_row(tmp_path: Path, ends: bool) -> None:
    program = DRAINS_ONLY + (LOOKS_FOR_NONE if ends else "") + "sys.exit(main())\n"
    broker = Broker(
        tmp_path / "data",
        *("--monitor-port", "0", "--sync", "interval"),
        command=(sys.executable, "-c", program),
    )
    try:
        send_each(broker.port, "box", MESSAGES, PAYLOAD)
        send_each(broker.port, "kept", 1, PAYLOAD)
        with Wire(broker.port) as wire:
            if ends:
                wire.create(name="box", ttl=1)
            else:
                delete_all_but(wire, "box", range(MESSAGES - 1, MESSAGES))
            # What is left is less than the dead bytes that are allowed.
            wait_until(lambda: segment_bytes(broker.data_dir) < MIN_DEAD_BYTES_IN_NEED)
            if not ends:
                assert list_all(wire, "box") == {MESSAGES - 1: PAYLOAD}
            assert list_all(wire, "kept") == {0: PAYLOAD}
        assert not broker.health
    finally:
        broker.end()


def test_live_values_of_sparse_segments_are_moved(broker: Broker) -> None:
    broker.start()
    wait_until(lambda: segments(broker) == ["values-00000003.seg"])
    assert segment_bytes(broker.data_dir) < MESSAGES // 8 * LARGEST
    assert broker.health.startswith("the disk")
    for kill in (True, False):
        check(broker)
        broker.restart(kill=kill)
    check(broker)


def test_deletions_and_new_messages_while_values_are_moved_are_kept(start: Start) -> None:
    """The cleaner moves 256 KiB at once. Between two moves, messages that it has found are deleted."""
    broker = start("--sync", "never")
    large, count, kept = "y" * 100_000, 200, 80
    send_each(broker.port, "box", count, large)
    with Wire(broker.port) as wire:
        for msg_id in range(kept, count):
            assert wire.delete("box", msg_id) == {"deleted": True}
        wait_until(lambda: "values-00000002.seg" in segments(broker))
        deleted = range(kept - 1, kept // 2, -1)
        wire.send("".join(f"PUB {MAILBOX}DELETE.box.{msg_id} 0\r\n\r\n" for msg_id in deleted))
        assert wire.msg("box", PAYLOAD) == {"msg_id": count}
        wait_until(lambda: "values-00000001.seg" not in segments(broker))
        stored = dict.fromkeys(range(deleted.stop + 1), large) | {count: PAYLOAD}
    for _ in range(2):
        with Wire(broker.port) as wire:
            assert list_all(wire, "box") == stored
            assert wire.list("box", limit=1)["total"] == len(stored)
        broker.restart(kill=True)


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power cut"])
def test_kill_while_values_are_moved_loses_nothing(
    broker: Broker, start_broker: Start, tmp_path: Path, power: bool
) -> None:
    for number, (call, pattern, nth) in enumerate(MOMENTS):
        data = Path(shutil.copytree(broker.data_dir, tmp_path / f"copy{number}"))
        rules = tmp_path / f"rules{number}"
        rules.mkdir()
        shim = Shim(rules, data)
        rule = shim.fail(call, pattern, wait=WAIT_SECONDS, skip=nth - 1)
        copy = start_broker("--monitor-port", "0", *HUGE, data_dir=data, env=shim.env)
        wait_until(lambda rule=rule, nth=nth: rule.seen >= nth)
        copy.kill()
        rule.end()
        if power:
            shim.cut_power(lose_names=True)
            pretend_reboot(data)
        copy.start()
        check(copy)
        # Less than what the cleaner begins for may be left.
        wait_until(lambda data=data: segment_bytes(data) < MIN_DEAD_BYTES_IN_NEED + MESSAGES // 10 * LARGEST)
        check(copy)
        copy.restart(kill=True)
        check(copy)


def test_segment_that_cannot_be_read_is_cleaned_once_it_can(broker: Broker, shim: Shim) -> None:
    with shim.failing("read", "values-00000001.seg", errno.EIO) as rule:
        broker.start()
        # The other segment is cleaned all the same.
        wait_until(lambda: segments(broker) == ["values-00000001.seg", "values-00000003.seg"])
        wait_until(lambda: "cleaning the value log failed" in broker.health)
        assert "Input/output error" in broker.health
        assert 0 < rule.seen < 200, "the broker must not try again all the time"
    wait_until(lambda: "values-00000001.seg" not in segments(broker))
    wait_until(lambda: "cleaning" not in broker.health)
    check(broker)


def test_segment_that_cannot_be_deleted_is_deleted_later(broker: Broker, shim: Shim) -> None:
    with shim.failing("unlink", "*.seg", errno.EACCES) as rule:
        broker.start()
        wait_until(lambda: "cleaning the value log failed" in broker.health)
        assert "Permission denied" in broker.health
        assert rule.seen
        check(broker)
    wait_until(lambda: "values-00000001.seg" not in segments(broker))
    wait_until(lambda: "cleaning" not in broker.health)
    check(broker)
    broker.restart(kill=True)
    check(broker)


def test_failed_commit_of_moved_values_is_repeated(broker: Broker, shim: Shim) -> None:
    with shim.failing("write", "values-00000003.seg", errno.EIO, skip=1, most=1) as rule:
        broker.start()
        wait_until(lambda: rule.seen > 1)
        wait_until(lambda: "does not accept writes" in broker.health)
    wait_until(lambda: not {"values-00000001.seg", "values-00000002.seg"} & set(segments(broker)))
    for _ in range(2):
        check(broker)
        broker.restart(kill=True)
