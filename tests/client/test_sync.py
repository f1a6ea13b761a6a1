"""The client without coroutines does the same as the other one, from any thread."""

import inspect
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

import mq9fast
from mq9fast import client
from mq9fast.client import (
    ClientClosed,
    GiveBack,
    InvalidBody,
    MailboxNotFound,
    NoAnswerYet,
    NoBroker,
    Reject,
    SyncMq9,
    TimedOut,
)
from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS, wait_until

PAIRS = [
    (getattr(client, name.removeprefix("Sync")), getattr(client, name))
    for name in client.__all__
    if name.startswith("Sync")
]
SOON = 0.2


@pytest.fixture
def mq9(broker: Broker) -> Iterator[SyncMq9]:
    with mq9fast.connect_sync(broker.url, timeout=WAIT_SECONDS) as mq9:
        yield mq9


class Task(msgspec.Struct):
    name: str


@pytest.mark.parametrize(("one", "sync"), PAIRS)
def test_both_clients_have_the_same_methods(one: type, sync: type) -> None:
    names = {name for name, _ in inspect.getmembers(one) if not name.startswith("_")}
    # What a coroutine is for, and what only the client itself calls.
    names -= {"connect", "create", "end_block", "keep_renewing"} if one is not client.Mq9 else {"connect"}
    for name in names:
        assert hasattr(sync, name), name
        if callable(getattr(one, name)):
            signature = inspect.signature(getattr(sync, name))
            assert list(signature.parameters) == list(inspect.signature(getattr(one, name)).parameters), name


def test_messages_are_held_by_their_block(mq9: SyncMq9, address: str) -> None:
    with mq9.mailbox(address, of=Task, dead_letter=f"{address}.dead", ttl=60) as inbox:
        inbox.send(Task("normal"))
        inbox.send(Task("urgent"), priority="urgent")
        for message in inbox:
            assert not message.is_settled
            with message:
                assert (message.body.name, message.priority, message.msg_id) == ("urgent", "urgent", 1)
            assert message.is_settled
            break
        with pytest.raises(ZeroDivisionError), inbox.next():
            raise ZeroDivisionError
        again = inbox.next()
        assert again.deliveries == 2
        with again:
            raise GiveBack
        with inbox.next():
            raise Reject("cannot be done")
        with pytest.raises(TimedOut):
            inbox.next(SOON)
        assert inbox.info().total == 0


def test_question_and_approval(mq9: SyncMq9, address: str) -> None:
    mq9.create(address)

    def work() -> None:
        with mq9.group(address, "workers") as questions, questions.next() as question:
            question.reply("72%")
        with mq9.group(address, "workers") as requests, requests.next() as request:
            request.decide("deny", reason="on a Friday?")

    with ThreadPoolExecutor() as pool:
        working = pool.submit(work)
        answer = mq9.ask(address, "how far?", of=str)
        assert (answer.body, answer.by) == ("72%", None)
        decision = mq9.approve(address, "Deploy?", "deploy", {"version": 7})
        assert (decision.decision, decision.approved, decision.reason) == ("deny", False, "on a Friday?")
        working.result()
    ticket = mq9.send_question(address, "and now?")
    with pytest.raises(NoAnswerYet):
        mq9.answer(str(ticket), timeout=SOON)
    with mq9.group(address, "workers") as questions, questions.next() as question:
        question.reply("100%")
    with mq9.answer(str(ticket), of=str) as answer:
        assert answer.body == "100%"


def test_lists_may_be_left_before_their_end(mq9: SyncMq9, address: str) -> None:
    mq9.create(address, public=True)
    for number in range(5):
        mq9.send(address, number)
    assert [each.json() for each in mq9.list(address)] == [0, 1, 2, 3, 4]
    for first in mq9.list(address, newest_first=True):
        assert first.json() == 4
        break
    assert [each.mail_address for each in mq9.find(address)] == [address]
    assert mq9.page(address, limit=2).total == mq9.info(address).total == 5
    assert mq9.get(address, 3).json() == 3 and mq9.delete(address, 3)


def test_status_watcher_and_events(mq9: SyncMq9, address: str) -> None:
    with mq9.status(address) as status, mq9.events(address) as events:
        status.set({"load": 1})
        status.set({"load": 2})
        assert events.next(WAIT_SECONDS).event
        with status.watch() as watcher:
            assert watcher.next(WAIT_SECONDS).json() == {"load": 2}
        assert list(watcher) == []


def test_mailbox_is_renewed_while_its_block_runs(mq9: SyncMq9, address: str) -> None:
    with mq9.mailbox(address, ttl=2):
        first = expires_at(mq9, address)
        wait_until(lambda: expires_at(mq9, address) > first)
    wait_until(lambda: expires_at(mq9, address) == 0)


def expires_at(mq9: SyncMq9, address: str) -> int:
    """0 if there is no such mailbox."""
    try:
        return mq9.info(address).expires_at or 0
    except MailboxNotFound:
        return 0


def test_threads_that_wait_hear_that_the_client_is_closed(broker: Broker, address: str) -> None:
    mq9 = mq9fast.connect_sync(broker.url)
    mq9.create(address)
    with ThreadPoolExecutor() as pool:
        member = mq9.mailbox(f"{address}.empty")
        waiting = [
            pool.submit(member.next),
            pool.submit(mq9.ask, address, "?"),
            pool.submit(mq9.answer, f"{address}/99@{address}"),
        ]
        wait_until(lambda: mq9.info(address).total == 1)
        mq9.close()
        for each in waiting:
            with pytest.raises(ClientClosed):
                each.result(WAIT_SECONDS)
    mq9.close()
    with pytest.raises(ClientClosed):
        mq9.send(address, "x")
    with pytest.raises(ClientClosed):
        list(mq9.list(address))


def test_client_that_cannot_connect_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(NoBroker):
        mq9fast.connect_sync("nats://127.0.0.1:1")
    assert threading.active_count() == before


def test_wrong_arguments_raise_in_the_program(mq9: SyncMq9, address: str) -> None:
    with pytest.raises(MailboxNotFound):
        mq9.send(address, "x")
    mq9.create(address)
    with pytest.raises(InvalidBody):
        mq9.send(address, object())


def test_ctrl_c_ends_the_wait_and_gives_messages_back(broker: Broker, mq9: SyncMq9, address: str) -> None:
    program = f"""
import mq9fast
with mq9fast.connect_sync({broker.url!r}) as mq9, mq9.mailbox({address!r}) as inbox, inbox.next():
    print("held", flush=True)
    inbox.next()
"""
    mq9.create(address)
    mq9.send(address, "task")
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert mq9.group(address, "inbox").next(WAIT_SECONDS).text == "task"


def test_it_goes_on_after_a_killed_broker(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    broker.flags = (*broker.flags[:1], str(broker.port), *broker.flags[2:])
    with mq9fast.connect_sync(broker.url, timeout=WAIT_SECONDS) as mq9:
        inbox = mq9.mailbox("tasks")
        inbox.send("task")
        member = iter(inbox)
        broker.restart(kill=True)
        with member.next(WAIT_SECONDS) as message:
            assert message.text == "task"
