"""Very many delayed messages across a kill: each comes once to each reader, within a second of its time."""

import os
import threading
import time
from collections.abc import Callable
from itertools import chain, islice

from tests.support.broker import Broker
from tests.support.data_directory import rows_of
from tests.support.waiting import sleep_until
from tests.support.wire_client import MAILBOX, Message, Wire, read_messages

COUNT = 100_000
# The first message is due so long after the sending began, and the last one SPAN_SECONDS later.
FIRST_SECONDS = 4.0
# CONTRIBUTING.md says how to run the test over a minute.
SPAN_SECONDS = float(os.environ.get("MQ9FAST_TEST_DELAY_SECONDS", "10"))
RANKS = ("", ".urgent", ".critical")
LATE_SECONDS = 1.0
# What a busy machine may add to a second.
SLACK_SECONDS = 1.0


class Plan:
    """When each message is due (Unix seconds), and which ones are cancelled: before the kill, or after it."""

    def __init__(self) -> None:
        began = time.time() + FIRST_SECONDS
        # 7919 has no common divisor with COUNT: no message is due when the one before it is.
        self.due = [round(began + n * 7919 % COUNT / COUNT * SPAN_SECONDS, 3) for n in range(COUNT)]
        self.kill_at = began + SPAN_SECONDS / 2
        self.end = began + SPAN_SECONDS
        self.cancelled_early = range(0, COUNT, 10)
        last_quarter = self.end - SPAN_SECONDS / 4
        self.cancelled_late = [n for n in range(5, COUNT, 10) if self.due[n] > last_quarter]
        self.expected = set(range(COUNT)) - set(self.cancelled_early) - set(self.cancelled_late)

    def send(self, wire: Wire) -> None:
        wire.create(name="box")
        frames = []
        for n, due in enumerate(self.due):
            at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(due)) + f".{round(due % 1 * 1000) % 1000:03}"
            header = f"NATS/1.0\r\nMq9-Deliver-At: {at}Z\r\n\r\n"
            sizes = f"{len(header)} {len(header) + len(str(n))}"
            frames.append(f"HPUB {MAILBOX}MSG.box{RANKS[n % 3]} {sizes}\r\n{header}{n}\r\n")
        wire.send("".join(frames))
        wire.ping()


class Reader(threading.Thread):
    """Subscribes and records the arrival time of each message until it has `count`, or the broker ends."""

    def __init__(self, broker: Broker, queue: str, count: int) -> None:
        super().__init__()
        self.wire = Wire(broker.port)
        self.count = count
        self.arrived: dict[int, float] = {}
        self.messages: list[Message] = []
        self.wire.subscribe("box", queue=queue)
        self.wire.ping()
        self.since = time.time()
        self.start()

    def run(self) -> None:
        try:
            # The first ones may have come before the PONG.
            for message in islice(chain(self.wire.received, read_messages(self.wire)), self.count):
                n = name_of(message)
                assert n not in self.arrived
                self.arrived[n] = time.time()
                self.messages.append(message)
        except (OSError, EOFError):
            pass

    def has_nothing_more(self) -> bool:
        with self.wire:
            self.wire.received.clear()
            return self.wire.silent()

    def check(self, plan: Plan) -> None:
        """No message was early, and none that was due while this reader was there was late."""
        assert not self.arrived.keys() & set(plan.cancelled_early)
        late = {n: at - max(plan.due[n], self.since) for n, at in self.arrived.items()}
        assert min(self.arrived[n] - plan.due[n] for n in self.arrived) >= -0.001
        assert max(late.values()) <= LATE_SECONDS + SLACK_SECONDS
        # A machine that is busy for a moment does not make most of them late.
        assert sorted(late.values())[len(late) // 2] <= LATE_SECONDS


def name_of(message: Message) -> int:
    n = int(message.reply.rpartition(".")[2])
    assert message.payload == b"%d" % n
    assert message.subject == f"{MAILBOX}MSG.box{RANKS[n % 3]}"
    return n


def delete(wire: Wire, numbers: list[int] | range) -> None:
    wire.send("".join(f"PUB {MAILBOX}DELETE.box.{n} 0\r\n\r\n" for n in numbers))
    wire.ping()


def total(wire: Wire) -> int:
    return int(wire.list("box", limit=1, priority="critical")["total"])


def test_each_of_100_000_delayed_messages_comes_on_time(start_broker: Callable[..., Broker]) -> None:
    """To a plain reader that is live, to a group, and to a plain reader that comes later.

    The broker is killed when half of them are due. By then the group has answered some of them. Messages that
    are cancelled before the kill, or after it, come to nobody.
    """
    broker = start_broker()
    plan = Plan()
    with Wire(broker.port) as wire:
        plan.send(wire)
        delete(wire, plan.cancelled_early)
        assert total(wire) == COUNT - len(plan.cancelled_early)
        before = [Reader(broker, queue, COUNT) for queue in ("", "g")]
        sleep_until(plan.kill_at - 1)
        answered = list(islice(tuple(before[1].arrived), 0, None, 3))
        delete(wire, answered)
        # Answered when the deletions are durable.
        assert total(wire) == COUNT - len(plan.cancelled_early) - len(answered)
        sleep_until(plan.kill_at)
        broker.kill()
    for reader in before:
        reader.join()
        reader.wire.close()
        reader.check(plan)
        assert len(reader.arrived) > COUNT // 3
    broker.start()
    left = plan.expected - set(answered)
    with Wire(broker.port) as wire:
        after = [Reader(broker, queue, len(left)) for queue in ("", "g")]
        delete(wire, plan.cancelled_late)
        for reader in after:
            reader.join()
            reader.check(plan)
            assert reader.arrived.keys() == left
        check_order_of_late_reader(broker, left, plan)
        delete(wire, [name_of(message) for message in after[1].messages])
        assert total(wire) == 0
        for reader in after:
            assert reader.has_nothing_more()
    broker.stop()
    assert rows_of(broker.data_dir, b"t") == {}
    assert rows_of(broker.data_dir, b"m") == {}


def check_order_of_late_reader(broker: Broker, left: set[int], plan: Plan) -> None:
    """By priority, and within a priority in the order in which they were due, to a tick of the broker."""
    late = Reader(broker, "", len(left))
    late.join()
    assert late.arrived.keys() == left
    ranks = [2 - n % 3 for n in late.arrived]
    assert ranks == sorted(ranks)
    for rank in range(3):
        times = [plan.due[n] for n in late.arrived if n % 3 == rank]
        highest = times[0]
        for at in times:
            highest = max(highest, at)
            assert at > highest - 0.5
    assert late.has_nothing_more()
