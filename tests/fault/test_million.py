"""A mailbox with a million messages: memory depends on connections, and a critical message comes first."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from typing import NamedTuple

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import publish_many
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire, read_messages

MILLION = 1_000_000
MEGABYTE = 1 << 20
MAX_ADDED = 150 * MEGABYTE
MAX_LEFT = 40 * MEGABYTE
# Memory of a stopped reader: the output of one turn and the transport's buffer, with a margin. Holding all of
# its remaining messages would take 150 times as much.
MAX_PER_READER = MEGABYTE
READERS = 20
# Variation of the store's memory while it flushes and compacts.
MAX_NOISE = 60 * MEGABYTE

# Messages that may already be in the buffers of both sockets when a reader is slow.
MAX_BUFFERED = 10_000


class Million(NamedTuple):
    """A broker that holds a million 100-byte messages of normal priority in the mailbox `million`."""

    broker: Broker
    rss_before: int
    rss_after: int


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Million]:
    """The mailbox is filled once for all tests."""
    broker = Broker(tmp_path_factory.mktemp("million") / "data", "--sync", "never")
    try:
        before = broker.rss_bytes
        with Wire(broker.port) as wire:
            wire.create(name="million")
            publish_many(wire, "million", MILLION, b"x" * 100)
            assert wire.list("million", limit=1)["total"] == MILLION
        yield Million(broker, before, broker.rss_bytes)
    finally:
        broker.end()


def test_a_million_stored_messages_use_little_memory(million: Million) -> None:
    assert million.rss_after - million.rss_before < MAX_ADDED


def test_memory_of_writing_is_released_when_idle(million: Million) -> None:
    """The rest is the store's metadata: less than its write buffers, which were full."""
    wait_until(lambda: million.broker.rss_bytes - million.rss_before < MAX_LEFT)


def test_stopped_readers_use_bounded_memory(million: Million) -> None:
    broker = million.broker
    with ExitStack() as stack:
        sender = stack.enter_context(Wire(broker.port))
        sender.create(name="busy")
        publish_many(sender, "busy", 200_000, b"x" * 100)
        before = broker.rss_bytes
        stopped = [stack.enter_context(Wire(broker.port, receive_bytes=65536)) for _ in range(READERS)]
        for reader in stopped:
            reader.subscribe("million")
            assert [message.msg_id for message in islice(read_messages(reader), 1000)] == list(range(1000))
        deaf = [stack.enter_context(Wire(broker.port, receive_bytes=65536)) for _ in range(READERS)]
        for reader in deaf:
            reader.subscribe("busy")
        seen = []
        for _ in range(4):
            publish_many(sender, "busy", 200_000, b"x" * 100)
            seen.append(broker.rss_bytes)
            time.sleep(0.3)
            seen.append(broker.rss_bytes)
        most = 2 * READERS * MAX_PER_READER + MAX_NOISE
        assert max(seen) - before < most, [size // MEGABYTE for size in (before, *seen)]
        # Every reader is still connected, and continues where it stopped.
        for reader in stopped[:2]:
            ids = [message.msg_id for message in islice(read_messages(reader), 50_000)]
            assert ids == list(range(1000, 51_000))
        assert [message.msg_id for message in islice(read_messages(deaf[0]), 50_000)] == list(range(50_000))


def test_reading_a_million_messages_uses_bounded_memory(million: Million) -> None:
    broker = million.broker
    before = broker.rss_bytes
    highest = 0
    with Wire(broker.port) as wire:
        wire.subscribe("million")
        for number, message in enumerate(islice(read_messages(wire), MILLION)):
            assert message.msg_id == number
            if number % 100_000 == 0:
                highest = max(highest, broker.rss_bytes)
    assert highest - before < MAX_NOISE


@pytest.fixture
def critical(million: Million) -> Iterator[int]:
    """The id of a critical message, sent after the million normal ones."""
    with Wire(million.broker.port) as wire:
        msg_id = wire.msg("million.critical", "now")["msg_id"]
        yield msg_id
        assert wire.delete("million", msg_id) == {"deleted": True}


def test_new_subscriber_receives_the_critical_message_first(million: Million, critical: int) -> None:
    assert critical >= MILLION
    with Wire(million.broker.port) as wire:
        wire.subscribe("million")
        first, second = islice(read_messages(wire), 2)
        assert (first.msg_id, first.subject) == (critical, "$mq9.AI.MAILBOX.MSG.million.critical")
        assert (second.msg_id, second.subject) == (0, "$mq9.AI.MAILBOX.MSG.million")


def test_queue_group_and_list_get_the_critical_message_first(million: Million, critical: int) -> None:
    with Wire(million.broker.port) as wire:
        wire.subscribe("million", queue="workers")
        assert next(read_messages(wire)).msg_id == critical
    with Wire(million.broker.port) as wire:
        messages = wire.list("million", limit=2)["messages"]
        assert [message["msg_id"] for message in messages] == [critical, 0]


def test_critical_message_overtakes_the_replay_of_a_slow_reader(million: Million) -> None:
    with Wire(million.broker.port, receive_bytes=65536) as reader, Wire(million.broker.port) as sender:
        reader.subscribe("million")
        messages = read_messages(reader)
        assert [message.msg_id for message in islice(messages, 1000)] == list(range(1000))
        time.sleep(0.2)
        critical = sender.msg("million.critical", "now")["msg_id"]
        urgent = sender.msg("million.urgent", "soon")["msg_id"]
        before = []
        while (message := next(messages)).msg_id != critical:
            before.append(message.msg_id)
            assert len(before) < MAX_BUFFERED
        assert urgent not in before
        assert next(messages).msg_id == urgent
        assert [message.msg_id for message in islice(messages, 1000)] == list(
            range(1000 + len(before), 2000 + len(before))
        )
        for msg_id in (critical, urgent):
            assert sender.delete("million", msg_id) == {"deleted": True}
