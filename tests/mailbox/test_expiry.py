"""TTL: a mailbox expires this long after its last CREATE or MSG, and does not come back."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mq9fast.config.settings import Settings
from mq9fast.errors import StoreError
from mq9fast.mailbox.options import OptionFields
from mq9fast.server.broker import Broker as InProcess
from mq9fast.storage.layout import mailbox_key
from tests.support.broker import Broker
from tests.support.faults.store import Faults
from tests.support.mailbox import create_line, exists
from tests.support.waiting import WAIT_SECONDS, sleep_until, wait_until, wait_until_async
from tests.support.wire_client import MAILBOX, Wire

MSG = MAILBOX + "MSG."
# A mailbox may expire up to a second late, but never early.
MAX_LATE_SECONDS = 1.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that does not wait for fsyncs: one may take longer than the TTLs of these tests."""
    broker = Broker(tmp_path_factory.mktemp("broker") / "data", "--sync", "never")
    yield broker
    broker.end()


def wait_for_expiry(wire: Wire, address: str, end: float) -> None:
    """Wait until a mailbox has expired. A request that is sent more than a second after its end must not find
    it, however long the request and the reply take."""
    while True:
        asked_at = time.time()
        if not exists(wire, address):
            return
        assert asked_at < end + MAX_LATE_SECONDS
        time.sleep(0.01)


def check_gone(wire: Wire, address: str) -> None:
    reply = wire.list(address)
    assert reply["code"] == "mailbox_not_found"
    assert wire.msg(address)["code"] == "mailbox_not_found"
    assert wire.delete(address, 0)["code"] == "mailbox_not_found"


def test_mailbox_expires_at_most_a_second_after_its_ttl(wire: Wire, address: str) -> None:
    begun = time.time()
    wire.create(name=address, ttl=1)
    wire.msg(address, "x")
    written = time.time()
    wait_for_expiry(wire, address, written + 1)
    # The broker counts whole milliseconds.
    assert time.time() > begun + 0.999
    check_gone(wire, address)


def test_address_can_be_reused_and_ids_start_at_zero(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=1, public=True)
    for n in range(3):
        assert wire.msg(address, "old") == {"msg_id": n}
    wait_until(lambda: not exists(wire, address))
    assert wire.create(name=address) == {"mail_address": address, "is_new": True}
    assert wire.list(address)["total"] == 0
    assert wire.msg(address, "new") == {"msg_id": 0}
    wire.subscribe(address)
    assert wire.message().payload == b"new"
    assert wire.silent(0.03)


def test_only_create_and_msg_renew_the_ttl(wire: Wire, broker: Broker, address: str) -> None:
    """CREATE and MSG restart the TTL; SUB, LIST, DELETE and failed requests do not."""
    names = {
        how: f"{address}-{how}"
        for how in ("create", "msg", "sub", "list", "delete", "refused", "none", "conflict")
    }
    before = time.time()
    for name in names.values():
        wire.create(name=name, ttl=2)
    for _ in range(40):
        wire.msg(names["delete"], "x")
    begun = time.time()
    alive = set(names)
    step = 0
    while alive & {"sub", "list", "delete", "refused", "none", "conflict"}:
        asked_at = time.time()
        wire.create(name=names["create"])
        wire.msg(names["msg"], "x")
        wire.send(f"SUB {MSG}{names['sub']} s{step}\r\nUNSUB s{step}\r\n")
        wire.list(names["list"])
        wire.delete(names["delete"], step % 40)
        if time.time() < begun + 0.5:
            assert wire.create(name=names["conflict"], public=True, ttl=60)["code"] == "mailbox_conflict"
        wire.create(name=names["refused"], ttl=-1)
        step += 1
        for how in list(alive):
            if not exists(wire, names[how]):
                assert time.time() >= before + 1.9
                alive.discard(how)
            elif how not in {"create", "msg"}:
                assert asked_at < begun + 2 + MAX_LATE_SECONDS
        time.sleep(0.05)
    assert alive == {"create", "msg"}


def test_create_sets_removes_or_keeps_the_ttl(wire: Wire, address: str) -> None:
    names = [f"{address}-{n}" for n in range(6)]
    zero, absent, prolonged, forever, shortened, kept = names
    wire.create(name=zero, ttl=0)
    wire.create(name=absent)
    for name in (prolonged, forever, kept):
        wire.create(name=name, ttl=3)
    wire.create(name=shortened, ttl=3600)
    wire.create(name=prolonged, ttl=3600)
    wire.create(name=forever, ttl=0)
    before = time.time()
    wire.create(name=shortened, ttl=3)
    wire.create(name=kept)
    begun = time.time()
    for name in (shortened, kept):
        wait_for_expiry(wire, name, begun + 3)
    assert time.time() > before + 2.999
    assert [exists(wire, name) for name in names] == [True, True, True, True, False, False]


def test_create_adds_a_ttl_to_a_mailbox_without_one(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, "x")
    wire.create(name=address, ttl=1)
    wait_for_expiry(wire, address, time.time() + 1)


def test_deadlines_are_kept_across_restarts(broker: Broker, address: str) -> None:
    short, down, long = (f"{address}-{n}" for n in ("short", "down", "long"))
    with Wire(broker.port) as wire:
        wire.create(name=long, ttl=3600)
        before = time.time()
        wire.create(name=short, ttl=3)
        wire.create(name=down, ttl=1)
        wire.msg(down, "old")
        begun = time.time()
    broker.stop()
    sleep_until(begun + 1.1)
    broker.start()
    with Wire(broker.port) as wire:
        assert not exists(wire, down)
        assert wire.create(name=down)["is_new"]
        assert wire.msg(down) == {"msg_id": 0}
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert exists(wire, long)
        assert exists(wire, short) or time.time() > before + 2.9
        wait_for_expiry(wire, short, begun + 3)
        assert time.time() >= before + 2.9
        assert exists(wire, long)
        assert wire.list(down)["total"] == 1
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        check_gone(wire, short)
        assert wire.list(down)["total"] == 1


def test_renewal_by_a_message_is_kept_across_a_restart(broker: Broker, address: str) -> None:
    with Wire(broker.port) as wire:
        begun = time.time()
        wire.create(name=address, ttl=2)
        sleep_until(begun + 1)
        before = time.time()
        assert wire.msg(address, "renews") == {"msg_id": 0}
        renewed = time.time()
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        sleep_until(begun + 2.2)
        assert exists(wire, address) or time.time() > before + 1.9
        wait_for_expiry(wire, address, renewed + 2)


def test_mailboxes_that_expired_while_the_broker_was_down_stay_gone(
    start_broker: Callable[..., Broker], address: str
) -> None:
    """The first requests after the start find none of the mailboxes that expired meanwhile."""
    broker = start_broker("--sync", "never")
    count = 5000
    with Wire(broker.port) as wire:
        wire.send(
            "".join(
                create_line(name=f"{address}-{n}", ttl=3) + f"PUB {MSG}{address}-{n} 1\r\nx\r\n"
                for n in range(count)
            )
        )
        wire.ping()
        assert exists(wire, f"{address}-{count - 1}")
        written = time.time()
    broker.stop()
    sleep_until(written + 3.1)
    broker.start()
    with Wire(broker.port) as wire:
        wire.sub("answers", "9")
        wire.send("".join(f"PUB {MSG}{address}-{n} answers 1\r\ny\r\n" for n in range(count)))
        codes = [message.json.get("code") for message in wire.messages(count)]
    assert codes == ["mailbox_not_found"] * count


def seconds_of_a_send(wire: Wire, address: str) -> float:
    begun = time.monotonic()
    wire.msg(address, "prompt")
    return time.monotonic() - begun


def test_expiry_of_a_large_mailbox_does_not_delay_other_mailboxes(
    start_broker: Callable[..., Broker], address: str
) -> None:
    broker = start_broker("--sync", "never")
    other = address + "-other"
    with Wire(broker.port) as wire:
        wire.create(name=other)
        wire.create(name=address)
        payload = "".join(chr(33 + n * n * 7919 % 90) for n in range(1000))
        line = f"PUB {MSG}{address} 1000\r\n{payload}\r\n"
        for _ in range(100):
            wire.send(line * 1000)
            wire.ping()
        assert wire.list(address, limit=1)["total"] == 100_000
        # Compare with the delays that a busy machine causes to any request.
        usual = max(seconds_of_a_send(wire, other) for _ in range(200))
        wire.create(name=address, ttl=1)
        slowest = 0.0
        deadline = time.monotonic() + WAIT_SECONDS
        while exists(wire, address):
            assert time.monotonic() < deadline
            slowest = max(slowest, seconds_of_a_send(wire, other))
        for _ in range(200):
            slowest = max(slowest, seconds_of_a_send(wire, other))
        assert slowest < max(1, 10 * usual)
        sent = wire.list(other, limit=1)["total"]
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        check_gone(wire, address)
        assert wire.list(other, limit=1)["total"] == sent
        assert wire.create(name=address)["is_new"]
        assert wire.list(address)["total"] == 0


def test_many_small_mailboxes_expire_together(start_broker: Callable[..., Broker], address: str) -> None:
    broker = start_broker("--sync", "never", "--max-mailboxes", "3000")
    with Wire(broker.port) as wire:
        wire.send("".join(create_line(name=f"{address}-{n}", ttl=3) for n in range(3000)))
        wire.ping()
        written = time.time()
        assert wire.create()["code"] == "limit_exceeded"
        for n in (0, 1500, 2999):
            wait_for_expiry(wire, f"{address}-{n}", written + 3)
        wait_until(lambda: "code" not in wire.create())


def megabytes(directory: Path) -> int:
    """Size of the files of a store. A file may disappear meanwhile."""
    size = 0
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size >> 20


def test_disk_space_of_expired_mailboxes_is_reused(start_broker: Callable[..., Broker], address: str) -> None:
    """The store does not grow with the total of all messages that were stored and expired."""
    broker = start_broker("--sync", "never")
    payload = os.urandom(50_000)
    with Wire(broker.port) as wire:
        for _ in range(5):
            wire.create(name=address, ttl=1)
            for _ in range(1200):
                wire.pub(MSG + address, payload)
            wire.ping()
            wait_until(lambda: not exists(wire, address))
        # 60 MB exist at a time, 300 MB in total. The store removes old data with a delay.
        wait_until(lambda: megabytes(broker.data_dir) < 230)


def test_expiry_is_stored_again_after_a_failed_write(tmp_path: Path) -> None:
    """Otherwise the record of the mailbox would stay on the disk."""

    async def expire_during_a_failed_write() -> None:
        faults = Faults()
        broker = InProcess(Settings(port=0, monitor_port=-1, data_dir=str(tmp_path)), faults.open)
        await broker.start()
        store = faults.store
        assert store is not None

        async def is_stored() -> bool:
            return store.get(mailbox_key(b"short")) is not None

        async def is_gone() -> bool:
            try:
                return not await is_stored()
            except StoreError:  # the broker reopens the store
                return False

        async def has_ticked() -> bool:
            return broker.mailboxes.mailbox_index.now_ms > 0

        await wait_until_async(has_ticked)
        broker.mailboxes.create(name="short", ttl=1, options=OptionFields(), may_change=lambda address: True)
        broker.engine.pending_work.schedule_end()
        await wait_until_async(is_stored)
        faults.failing_writes = 1
        await wait_until_async(is_gone)
        assert faults.failing_writes == 0
        await broker.stop()

    asyncio.run(expire_during_a_failed_write())
