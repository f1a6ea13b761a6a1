"""The option ack_wait: how long a member may hold a message, tokens of deliveries, members that hang."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support import nats_py, queue_worker
from tests.support.broker import Broker
from tests.support.mailbox import MSG, Connect, fill_mailbox, refuse, texts
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Message, Wire

Start = Callable[..., Broker]


def answer(wire: Wire, message: Message, body: str = "") -> Any:
    """Answer a delivery; returns whether the broker says that it deleted the message."""
    return wire.request(message.reply, body).json["deleted"]


def id_of(message: Message) -> int:
    return int(message.reply.rpartition(".")[2].partition("-")[0])


def test_unanswered_message_goes_to_another_member(wire: Wire, address: str, member: Connect) -> None:
    """A late answer does nothing, whoever holds the message now."""
    created = wire.create(name=address, ack_wait=0.5)
    assert created["options"] == {"max_in_flight": 1, "ack_wait": 0.5}
    one = member()
    fill_mailbox(wire, address, "n0")
    began = time.monotonic()
    first = one.message()
    other = member()
    again = other.message()
    assert 0.5 <= time.monotonic() - began < 1.5
    assert b"Mq9-Deliveries: 2" in again.header
    assert id_of(first) == id_of(again) == 0
    assert first.reply != again.reply
    for body in ("", "+ACK", "-NAK", "+WPI", "done"):
        assert answer(one, first, body) is False
    assert wire.list(address)["total"] == 1
    assert answer(other, again) is True
    assert answer(other, again) is False
    assert wire.list(address)["total"] == 0


def test_late_answer_counts_while_the_message_waits(wire: Wire, address: str, member: Connect) -> None:
    """Nobody else does it then."""
    wire.create(name=address, ack_wait=0.3, backoff=60)
    fill_mailbox(wire, address, "n0", "n1")
    one = member()
    message = one.message()
    wait_until(lambda: wire.list(address)["messages"][0].get("deliveries") == 1)
    assert answer(one, message, "+WPI") is False
    assert answer(one, message) is True
    assert [each["payload"] for each in wire.list(address)["messages"]] == ["n1"]


def test_delete_of_the_plain_id_always_deletes(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, ack_wait=60)
    fill_mailbox(wire, address, "n0")
    one = member()
    message = one.message()
    for token in ("0", "x", "0" * 17, "-", message.reply.rpartition("-")[2] + "0"):
        assert wire.delete(address, f"0-{token}") == {"deleted": False}
    assert wire.delete(address, "-0")["code"] == "bad_request"
    assert wire.delete(address, 0) == {"deleted": True}
    assert answer(one, message) is False


def test_wpi_restarts_the_time(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, ack_wait=0.8)
    fill_mailbox(wire, address, "n0")
    one, other = member(), member()
    message = one.message()
    for _ in range(6):
        assert other.silent(0.4)
        assert answer(one, message, "+WPI") is False
    assert answer(one, message) is True
    assert other.silent(1)


def test_each_message_of_a_member_has_its_own_time(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, ack_wait=1, max_in_flight=10)
    one, other = member(), None
    fill_mailbox(wire, address, "n0", "n1")
    first, second = one.messages(2)
    time.sleep(0.6)
    answer(one, first, "+WPI")
    fill_mailbox(wire, address, "n2")
    third = one.message()
    other = member()
    assert texts(other.messages(1)) == ["n1"]
    assert answer(one, third) is True
    assert texts(other.messages(1)) == ["n0"]
    assert answer(one, second) is False


def test_unsub_keeps_what_the_member_holds(wire: Wire, address: str, member: Connect) -> None:
    """A client that drains still answers, or lets the message time out."""
    wire.create(name=address, ack_wait=1, max_in_flight=2)
    fill_mailbox(wire, address, "n0", "n1", "n2")
    one, other = member(), None
    first, _ = one.messages(2)
    one.send("UNSUB 1\r\n")
    one.ping()
    other = member()
    assert texts([other.message()]) == ["n2"]
    assert other.silent(0.3)
    assert answer(one, first) is True
    late = other.message()
    assert texts([late]) == ["n1"]
    assert b"Mq9-Deliveries: 2" in late.header
    assert wire.list(address)["mailbox"]["groups"][0]["members"] == 1


def test_end_of_the_connection_gives_back_at_once(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, ack_wait=60)
    fill_mailbox(wire, address, "n0")
    one, other = member(), member()
    one.message()
    one.send("UNSUB 1\r\n")
    one.ping()
    assert other.silent(0.1)
    one.close()
    assert texts([other.message(2)]) == ["n0"]


def test_without_ack_wait_unsub_gives_back_at_once(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0")
    one, other = member(), member()
    message = one.message()
    assert "-" not in message.reply.rpartition(".")[2]
    one.send("UNSUB 1\r\n")
    assert other.message(2).header == b""


def test_member_at_its_max_keeps_what_it_holds_after_unsub(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, ack_wait=1)
    fill_mailbox(wire, address, "n0")
    one = member(unsub_after=1)
    held = one.message()
    one.send("UNSUB 1\r\n")
    other = member()
    assert other.silent(0.3)
    answer(one, held, "+WPI")
    assert other.silent(0.8)
    assert texts([other.message()]) == ["n0"]


def test_member_that_hangs_gets_one_message_at_a_time(wire: Wire, address: str, member: Connect) -> None:
    """And only if no other member has room, after a pause. An answer ends this."""
    wire.create(name=address, ack_wait=0.6)
    hung = member()
    fill_mailbox(wire, address, "n0", "n1")
    held = hung.message()
    other = member()
    second = other.message()
    while wire.list(address)["messages"][0].get("deliveries") != 1:
        answer(other, second, "+WPI")
    # n0 has timed out, and the other member holds n1.
    assert hung.silent(0.2)
    assert answer(other, second) is True
    again = other.message()
    assert id_of(again) == 0
    fill_mailbox(wire, address, "n2")
    # The other member has no room. After its pause the hung one gets n2, and not n0.
    while hung.silent(0.1):
        answer(other, again, "+WPI")
    third = hung.message()
    assert texts([third]) == ["n2"]
    fill_mailbox(wire, address, "n3")
    # Late as it is, this answer counts as one.
    answer(other, again, "+WPI")
    assert answer(hung, held) is False
    assert answer(hung, third) is True
    assert texts([hung.message(0.4)]) == ["n3"]


def test_member_that_hangs_gets_others_than_what_it_let_time_out(
    wire: Wire, address: str, member: Connect
) -> None:
    """The only other member is busy. A stored message, and one that comes later."""
    wire.create(name=address, ack_wait=0.3)
    one = member()
    fill_mailbox(wire, address, "n0")
    assert texts(one.messages(1)) == ["n0"]
    other = member()
    fill_mailbox(wire, address, "n1")
    busy = other.message()
    assert busy.payload == b"n1"
    fill_mailbox(wire, address, "n2")
    deadline = time.monotonic() + WAIT_SECONDS
    got: list[str] = []
    while got != ["n2", "n3"]:
        assert time.monotonic() < deadline
        answer(other, busy, "+WPI")
        if not one.silent(0.05):
            got += texts(one.messages(1))
            if got == ["n2"]:
                fill_mailbox(wire, address, "n3")
    assert other.silent(0)
    answer(other, busy)
    assert texts(other.messages(1)) == ["n0"]


def test_pause_doubles(wire: Wire, address: str, member: Connect) -> None:
    """A group of one member: it gets even the same message again."""
    wire.create(name=address, ack_wait=0.4)
    fill_mailbox(wire, address, "n0")
    one = member()
    times = []
    for _ in range(4):
        message = one.message()
        times.append(time.monotonic())
    gaps = [later - earlier for earlier, later in pairwise(times)]
    # ack_wait, and a pause of 1, 2 and 4 ack_wait.
    assert gaps[0] >= 0.8
    assert gaps[1] >= 1.2
    assert gaps[2] >= 2.0
    assert gaps[2] < 3.2
    answer(one, message, "+WPI")
    assert answer(one, message) is True
    fill_mailbox(wire, address, "n1", "n2")
    assert answer(one, one.message()) is True
    assert texts([one.message()]) == ["n2"]


def test_changed_ack_wait_acts_on_what_members_hold(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address)
    fill_mailbox(wire, address, "n0")
    one = member()
    message = one.message()
    wire.create(name=address, ack_wait=0.3)
    other = member()
    again = other.message(3)
    # A delivery without a token is answered with the plain id, which always deletes.
    assert answer(one, message) is True
    assert answer(other, again) is False
    fill_mailbox(wire, address, "n1")
    last = [one.silent(0.5), other.silent(0.1)]
    assert last.count(False) == 1
    wire.create(name=address, ack_wait=0)
    assert wire.create(name=address, ack_wait=0)["options"] == {}


def test_token_is_never_given_twice(start_broker: Start) -> None:
    """Not across groups, restarts, or lives of a mailbox."""
    broker = start_broker()
    tokens: list[str] = []

    def expired() -> bool:
        with Wire(broker.port) as wire:
            return wire.list("a").get("code") == "mailbox_not_found"

    for then in ("restart", "group", "life", "end"):
        with Wire(broker.port) as wire:
            wire.create(name="a", ack_wait=60, max_in_flight=0, ttl=1 if then == "life" else 0)
            if then != "group":
                wire.msg("a", "x")
            for sid in ("1", "2"):
                wire.sub(MSG + "a", sid, f"g{sid}")
            for message in wire.messages(2):
                tokens.append(message.reply.rpartition("-")[2])
                refuse(wire, message)
            tokens += [message.reply.rpartition("-")[2] for message in wire.messages(2)]
            wire.delete("a", 0)
            if then == "restart":
                wire.msg("a", "y")
        if then == "restart":
            broker.restart(kill=True)
        elif then == "life":
            wait_until(expired)
    assert len(tokens) == len(set(tokens)) == 16


def test_answers_of_nats_py(broker: Broker, address: str) -> None:
    async def run() -> None:
        client = await nats_py.connect(broker.url)
        received: asyncio.Queue[Any] = asyncio.Queue()
        create = b'{"name": "%b", "ack_wait": 1}' % address.encode()
        await client.request(MAILBOX + "CREATE", create)
        await client.subscribe(MSG + address, "g", cb=received.put)
        await client.request(MSG + address, b"task")
        message = await received.get()
        for _ in range(4):
            await asyncio.sleep(0.6)
            await message.in_progress()
        assert received.empty()
        await message.ack_sync()
        await client.request(MSG + address, b"next")
        assert (await received.get()).data == b"next"
        await client.close()

    asyncio.run(run())


# A worker that is stopped.


class Worker:
    def __init__(self, port: int, journal: Path) -> None:
        self.journal = journal
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", Path(queue_worker.__file__), str(port), "tasks", journal, "0.05"]
        )

    def ids(self, event: str) -> list[int]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [int(line.split()[1].partition("-")[0]) for line in lines if line.startswith(f"{event} ")]

    @property
    def ready(self) -> bool:
        return self.journal.exists() and "ready" in self.journal.read_text()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[[int], Worker]]:
    workers: list[Worker] = []

    def start(port: int) -> Worker:
        workers.append(Worker(port, tmp_path / f"worker{len(workers)}"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.process.kill()
        worker.process.wait()


def test_tasks_of_a_stopped_worker_are_done_by_others(
    start_broker: Start, start_worker: Callable[[int], Worker]
) -> None:
    """Within 3 s with an ack_wait of 2. It does not get them again, and the others are not slowed."""
    broker = start_broker("--sync", "interval")
    with Wire(broker.port) as wire:
        wire.create(name="tasks", ack_wait=2, max_in_flight=3)
        workers = [start_worker(broker.port) for _ in range(4)]
        wait_until(lambda: all(worker.ready for worker in workers))
        for n in range(100):
            wire.pub(f"{MAILBOX}MSG.tasks", str(n))
        wire.ping()
        wait_until(lambda: len(workers[0].ids("done")) >= 3)
        workers[0].process.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        wait_until(lambda: wire.list("tasks", limit=1)["total"] <= 3)
        # Three workers of 50 ms do the others without waiting for what the stopped one holds.
        assert time.monotonic() - stopped_at < 2.5
        wait_until(lambda: wire.list("tasks", limit=1)["total"] == 0)
        assert time.monotonic() - stopped_at < 3.3
        workers[0].process.send_signal(signal.SIGCONT)
        # Its late answers delete nothing that came after.
        wire.msg("tasks", "later")
        wait_until(lambda: wire.list("tasks", limit=1)["total"] == 0)
