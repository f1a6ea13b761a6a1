"""A failed read is an error, never the end of the data. Everything arrives once reads succeed."""

import errno
import http.client
import json
import random
import re
import time
import urllib.request
from collections.abc import Callable
from itertools import product

import pytest

from tests.support.broker import Broker
from tests.support.data_directory import flip_byte, move_values_to_tables, rows_of
from tests.support.faults.shim import Shim
from tests.support.mailbox import create_line
from tests.support.monitoring import get, monitor_port
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

MESSAGES = 20_000
PAYLOAD_BYTES = 200
TABLES = "*.sst"
VALUE_LOG = "*.seg"

StartBroker = Callable[..., Broker]


def send_random_messages(wire: Wire, address: str, count: int) -> None:
    wire.create(name=address)
    # Random payloads, which tables cannot compress.
    chance = random.Random(address)
    line = f"PUB {MAILBOX}MSG.{address} {PAYLOAD_BYTES}\r\n".encode()
    wire.send(b"".join(line + chance.randbytes(PAYLOAD_BYTES) + b"\r\n" for _ in range(count)))
    wait_until(lambda: wire.list(address, limit=1)["total"] == count)


def create_many(wire: Wire, count: int) -> None:
    for n in range(count):
        wire.send(create_line(name=f"mailbox.{n:05}", desc=f"the mailbox number {n}"))
    wait_until(lambda: wire.list(f"mailbox.{count - 1:05}").get("total") == 0)


@pytest.fixture(params=[TABLES, VALUE_LOG], ids=["tables", "value-log"])
def files(request: pytest.FixtureRequest) -> str:
    """The files that have the messages."""
    return str(request.param)


@pytest.fixture
def broker(start_broker: StartBroker, shim: Shim, files: str) -> Broker:
    """A broker whose messages are in files that are not in memory."""
    broker = start_broker("--monitor-port", "0", "--sync", "never", env=shim.env)
    with Wire(broker.port) as wire:
        send_random_messages(wire, "tasks", MESSAGES)
        # Between other data, so that the start does not read the block of its message.
        send_random_messages(wire, "small", 1)
        send_random_messages(wire, "rest", 1000)
    broker.stop()
    if files == TABLES:
        move_values_to_tables(broker.data_dir)
    broker.start()
    return broker


def test_subscriber_receives_each_message_once_after_failed_reads(
    broker: Broker, shim: Shim, files: str
) -> None:
    with Wire(broker.port) as wire, shim.failing("read", files, errno.EIO, skip=3) as rule:
        wire.subscribe("tasks")
        wait_until(lambda: rule.seen > 3)
        wait_until(lambda: "Input/output error" in broker.health)
        time.sleep(1.5)
        rule.end()
        assert [wire.message().msg_id for _ in range(MESSAGES)] == list(range(MESSAGES))
        assert wire.silent()
    wait_until(lambda: not broker.health)
    assert "the store could not be read: " in broker.log.read_text()


def test_queue_group_receives_each_message_once_after_failed_reads(
    broker: Broker, shim: Shim, files: str
) -> None:
    with Wire(broker.port) as wire, shim.failing("read", files, errno.EIO, skip=3) as rule:
        wire.subscribe("tasks", queue="workers")
        wait_until(lambda: rule.seen > 3)
        time.sleep(2)
        assert rule.seen < 100, "the broker must retry once a second, not all the time"
        rule.end()
        taken = []
        for _ in range(MESSAGES):
            task = wire.message()
            taken.append(task.msg_id)
            wire.pub(task.reply)
        assert taken == list(range(MESSAGES))
        wait_until(lambda: wire.list("tasks")["total"] == 0)


def test_returned_messages_are_redelivered_after_failed_reads(broker: Broker, shim: Shim, files: str) -> None:
    with Wire(broker.port) as wire:
        wire.subscribe("tasks", queue="workers")
        received = [wire.message().msg_id for _ in range(500)]
    broker.restart()
    with Wire(broker.port) as leaving, Wire(broker.port) as wire:
        leaving.subscribe("tasks", queue="workers")
        leaving.message()
        leaving.ping()
        with shim.failing("read", files, errno.EIO):
            wire.subscribe("tasks", queue="workers")
            wire.ping()
            leaving.close()
            time.sleep(1.5)
        assert sorted({wire.message().msg_id for _ in range(MESSAGES)}) == list(range(MESSAGES))
        assert wire.silent()
    assert received == list(range(500))


def test_list_and_delete_report_that_the_store_cannot_be_read(broker: Broker, shim: Shim, files: str) -> None:
    with Wire(broker.port) as wire:
        for skip, order in product(range(4), (None, "newest")):
            with shim.failing("read", files, errno.EIO, skip=skip) as rule:
                ids: list[int] = []
                page = wire.list("tasks", order=order)
                while "code" not in page:
                    ids += [message["msg_id"] for message in page["messages"]]
                    assert "next" in page, "only the end of the mailbox may end the pages"
                    page = wire.list("tasks", cursor=page["next"])
                assert page["code"] == "store_unavailable"
                in_order = range(MESSAGES - 1, -1, -1) if order else range(MESSAGES)
                assert ids == list(in_order[: len(ids)])
                assert rule.seen > skip
        with shim.failing("read", files, errno.EIO):
            assert wire.delete("tasks", MESSAGES // 2)["code"] == "store_unavailable"
            faults = ("could not be read", "reading the store failed")
            wait_until(lambda: any(fault in broker.health for fault in faults))
            # The fault stays although no client reads any more.
            time.sleep(2.5)
            assert "Input/output error" in broker.health
        wait_until(lambda: not broker.health)
        assert wire.delete("tasks", MESSAGES // 2) == {"deleted": True}
        assert wire.list("tasks", limit=1)["total"] == MESSAGES - 1


def test_mailboxz_is_cut_off_if_a_later_read_fails(start_broker: StartBroker, shim: Shim) -> None:
    broker = start_broker("--monitor-port", "0", "--sync", "never", env=shim.env)
    count = 2000
    with Wire(broker.port) as wire:
        create_many(wire, count)
        chance = random.Random(1)
        for n in range(count):
            wire.pub(f"{MAILBOX}MSG.mailbox.{n:05}", chance.randbytes(PAYLOAD_BYTES))
        wire.ping()
    broker.restart()
    port = monitor_port(broker)
    with shim.failing("read", "*.sst", errno.EIO, skip=6) as rule:
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/mailboxz?limit={count}", timeout=WAIT_SECONDS)
        with page, pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            page.read()
        assert rule.seen > 6
    status, _, body = get(port, f"/mailboxz?limit={count}")
    assert all("oldest_message" in mailbox for mailbox in json.loads(body)["mailboxes"])
    assert status == 200


def test_mailboxz_is_a_503_if_the_first_read_fails(broker: Broker, shim: Shim, files: str) -> None:
    port = monitor_port(broker)
    with shim.failing("read", files, errno.EIO):
        status, _, body = get(port, "/mailboxz")
        assert (status, body) == (503, b"The store could not be read: see /healthz.\n")
    status, _, body = get(port, "/mailboxz")
    assert [mailbox["next_id"] for mailbox in json.loads(body)["mailboxes"]] == [1000, 1, MESSAGES]


def stored_rows(broker: Broker, prefix: bytes) -> dict[bytes, bytes]:
    """The stored rows of keys that begin with a prefix. Restarts the broker."""
    broker.stop()
    rows = rows_of(broker.data_dir, prefix)
    broker.start()
    return rows


@pytest.mark.parametrize("files", [TABLES], indirect=True)
def test_purge_continues_once_reads_succeed(broker: Broker, shim: Shim) -> None:
    rows = len(stored_rows(broker, b"m"))
    with Wire(broker.port) as wire, shim.failing("read", "*.sst", errno.EIO) as rule:
        wire.create(name="small", ttl=1)
        wait_until(lambda: rule.seen > 2)
        wait_until(lambda: "purging failed" in broker.health)
        rule.end()
        wait_until(lambda: not broker.health)
    assert len(stored_rows(broker, b"m")) == rows - 1
    assert not stored_rows(broker, b"p")


def test_start_refuses_unreadable_mailboxes(start_broker: StartBroker) -> None:
    count = 5000
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire:
        create_many(wire, count)
    broker.restart()
    broker.stop()
    table = max(broker.data_dir.glob("*.sst"), key=lambda path: path.stat().st_size)
    middle = table.stat().st_size // 2
    flip_byte(table, middle)
    for _ in range(2):
        with pytest.raises(AssertionError, match="holds data that cannot be read: Corruption"):
            broker.start()
    sentence = broker.log.read_text().splitlines()[-1]
    assert re.fullmatch(rf"mq9fast: the data directory {broker.data_dir} holds data .*", sentence)
    flip_byte(table, middle)
    broker.start()
    with Wire(broker.port) as wire:
        for n in range(0, count, 100):
            assert wire.list(f"mailbox.{n:05}")["total"] == 0


@pytest.mark.parametrize("files", [TABLES], indirect=True)
@pytest.mark.parametrize("call", ["read", "open"])
def test_unreadable_state_file_is_refused_even_with_accept_loss(
    broker: Broker, shim: Shim, call: str
) -> None:
    broker.stop()
    flags = broker.flags
    with shim.failing(call, "*/mq9fast.state", errno.EIO):
        for more in ((), ("--accept-loss",)):
            broker.flags = (*flags, *more)
            with pytest.raises(
                AssertionError, match=rf"mq9fast.state cannot be {call}.*: Input/output error"
            ):
                broker.start()
    broker.flags = flags
    broker.start()
