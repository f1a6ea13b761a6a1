"""Memory depends on connections, not on stored messages."""

import time
from contextlib import ExitStack
from itertools import islice

from tests.fault.million import MILLION, Million
from tests.support.mailbox import publish_many
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire, read_messages

MEGABYTE = 1 << 20
MAX_ADDED = 150 * MEGABYTE
MAX_LEFT = 40 * MEGABYTE
# Memory of a stopped reader: the output of one turn and the transport's buffer, with a margin. Holding all of
# its remaining messages would take 150 times as much.
MAX_PER_READER = MEGABYTE
READERS = 20
# Variation of the store's memory while it flushes and compacts.
MAX_NOISE = 60 * MEGABYTE


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
