"""write_deadline: the broker closes a client that reads none of the plain messages waiting for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice

import pytest

from tests.support.broker import Broker
from tests.support.machine import kernel_bytes
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire, read_messages

Start = Callable[..., Broker]
DEADLINE = 1.0
FLAGS = ("--write-deadline", str(DEADLINE), "--sync", "never", "--monitor-port", "0")
# One message of more bytes than kernel and transport buffer, and as many bytes in small messages. That is far
# less than what pauses senders.
LARGE = kernel_bytes() + 2_800_000
FLOOD = LARGE // 1000
# So small that less than a third of the kernel's buffer gets free within the deadline: the kernel does not
# report the socket as writable.
SMALL_READ = 32768
# So few messages that the kernel's buffer holds them.
TRICKLE = 50


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def publish(wire: Wire, subject: str, count: int) -> None:
    wire.send(b"PUB %s 1000\r\n%s\r\n" % (subject.encode(), b"x" * 1000) * count)
    wire.ping(WAIT_SECONDS)


def slow_consumers(broker: Broker) -> int:
    return broker.metric("mq9fast_slow_consumers_total")


def test_client_that_reads_nothing_is_closed_with_slow_consumer(
    start_broker: Start, stack: ExitStack
) -> None:
    broker = start_broker(*FLAGS)
    slow = stack.enter_context(Wire(broker.port, receive_bytes=65536))
    sender = stack.enter_context(Wire(broker.port))
    slow.sub("flood")
    slow.ping()
    began = time.monotonic()
    publish(sender, "flood", FLOOD)
    wait_until(lambda: "it received nothing for" in broker.log.read_text())
    assert time.monotonic() - began > DEADLINE * 0.9
    assert slow.closed(WAIT_SECONDS)
    assert slow.unread.endswith(b"-ERR 'Slow Consumer'\r\n")
    assert slow.unread.count(b"MSG flood") < FLOOD
    assert slow_consumers(broker) == 1
    sender.ping()
    # A client that reads nothing at all is closed as well.
    deaf = stack.enter_context(Wire(broker.port, receive_bytes=65536))
    deaf.sub("flood")
    deaf.ping()
    publish(sender, "flood", FLOOD)
    wait_until(lambda: broker.metric("mq9fast_connections") == 1)
    assert slow_consumers(broker) == 2


def test_client_that_reads_slowly_stays_connected(start_broker: Start, stack: ExitStack) -> None:
    """The client reads far slower than messages arrive, but never pauses for the whole deadline."""
    broker = start_broker(*FLAGS)
    slow = stack.enter_context(Wire(broker.port, receive_bytes=65536))
    sender = stack.enter_context(Wire(broker.port))
    slow.sub("flood")
    slow.ping()
    publish(sender, "flood", FLOOD)
    ends = time.monotonic() + 3 * DEADLINE
    while time.monotonic() < ends:
        slow.unread += slow.socket.recv(SMALL_READ)
        time.sleep(DEADLINE / 10)
    assert sum(1 for _ in islice(read_messages(slow), FLOOD)) == FLOOD
    slow.ping()
    assert slow_consumers(broker) == 0


def test_deadline_does_not_apply_to_mailbox_subscribers(start_broker: Start, stack: ExitStack) -> None:
    """Also if pings or plain messages wait behind the mailbox's messages."""
    broker = start_broker(*FLAGS, "--ping-interval", "0.5", "--ping-max", "100")
    readers = [stack.enter_context(Wire(broker.port, receive_bytes=65536)) for _ in range(4)]
    sender = stack.enter_context(Wire(broker.port))
    sender.create(name="box")
    for number, reader in enumerate(readers):
        reader.subscribe("box", queue="workers" if number % 2 else "")
        reader.ping()
    for reader in readers[2:]:
        reader.sub("also", "2")
        reader.ping()
    publish(sender, f"{MAILBOX}MSG.box", FLOOD)
    publish(sender, "also", TRICKLE)
    time.sleep(DEADLINE * 3)
    assert slow_consumers(broker) == 0
    for reader in readers[::2]:
        seen = {"$mq9.AI.MAILBOX.MSG.box": 0, "also": 0}
        wanted = FLOOD + (TRICKLE if reader in readers[2:] else 0)
        for message in islice(read_messages(reader), wanted):
            seen[message.subject] += 1
        assert seen["$mq9.AI.MAILBOX.MSG.box"] == FLOOD
    for reader in readers[1::2]:
        reader.send("PING\r\n")
    assert not any(reader.closed(0.1) for reader in readers[1::2])


@pytest.mark.parametrize("early", [True, False], ids=["with a maximum", "at any time"])
def test_deadline_applies_after_unsub_once_the_mailbox_data_is_read(
    start_broker: Start, stack: ExitStack, early: bool
) -> None:
    broker = start_broker(*FLAGS, "--max-payload", str(LARGE))
    reader = stack.enter_context(Wire(broker.port, receive_bytes=65536))
    sender = stack.enter_context(Wire(broker.port))
    sender.create(name="box")
    sender.msg("box", bytes(LARGE))
    reader.sub("flood", "2")
    reader.subscribe("box")
    reader.send("UNSUB 1 1\r\n" if early else "")
    reader.receive(WAIT_SECONDS)
    reader.send("" if early else "UNSUB 1\r\n")
    reader.send("PUB flood 0\r\n\r\n")
    time.sleep(DEADLINE * 3)
    assert [len(message.payload) for message in reader.messages(2, WAIT_SECONDS)] == [LARGE, 0]
    reader.ping()
    assert slow_consumers(broker) == 0
    publish(sender, "flood", FLOOD)
    wait_until(lambda: slow_consumers(broker) == 1)


def test_deadline_ignores_data_in_kernel_buffers(start_broker: Start, stack: ExitStack) -> None:
    broker = start_broker(*FLAGS)
    idle = stack.enter_context(Wire(broker.port))
    sender = stack.enter_context(Wire(broker.port))
    idle.sub("trickle")
    idle.ping()
    publish(sender, "trickle", TRICKLE)
    time.sleep(DEADLINE * 2)
    assert len(idle.messages(TRICKLE)) == TRICKLE
    idle.ping()
    assert slow_consumers(broker) == 0
