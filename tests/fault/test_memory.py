"""Memory follows what is connected, not what is stored."""

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
# What one reader that stopped may cost: the output of one turn and what its transport holds, with some slack.
# To hold what is left for it in memory would cost 150 of these.
MAX_PER_READER = MEGABYTE
READERS = 20
# The store's own ups and downs while it flushes and compacts.
MAX_NOISE = 60 * MEGABYTE


def test_a_million_stored_messages_cost_little_memory(million: Million) -> None:
    assert million.rss_after - million.rss_before < MAX_ADDED


def test_memory_that_writing_took_is_given_back_when_it_is_quiet(million: Million) -> None:
    """What is left is the store's bookkeeping: less than its write buffers, which were full."""
    wait_until(lambda: million.broker.rss_bytes - million.rss_before < MAX_LEFT)


def test_readers_that_stop_reading_cost_nothing_that_grows(million: Million) -> None:
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
        # None was cut off or lost its place: each goes on where it stopped.
        for reader in stopped[:2]:
            ids = [message.msg_id for message in islice(read_messages(reader), 50_000)]
            assert ids == list(range(1000, 51_000))
        assert [message.msg_id for message in islice(read_messages(deaf[0]), 50_000)] == list(range(50_000))


def test_the_whole_million_is_read_in_bounded_memory(million: Million) -> None:
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
