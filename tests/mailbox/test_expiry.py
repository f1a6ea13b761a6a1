"""TTL: the time since the last write, after which a mailbox is gone for good."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mq9fast.config.settings import Settings
from mq9fast.errors import StoreError
from mq9fast.server.broker import Broker as InProcess
from mq9fast.storage.layout import mailbox_key
from tests.support.broker import Broker
from tests.support.stores import Faults
from tests.support.waiting import WAIT_SECONDS, wait_until, wait_until_async
from tests.support.wire_client import MAILBOX, Wire

MSG = MAILBOX + "MSG."
# A deadline may be met a second late; never early.
LATE = 1.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that waits for no fsync: one may take longer than these mailboxes live."""
    broker = Broker(tmp_path_factory.mktemp("broker") / "data", "--sync", "never")
    yield broker
    broker.end()


def lives(wire: Wire, address: str) -> bool:
    return "code" not in wire.list(address, limit=1)


def see_it_go(wire: Wire, address: str, end: float) -> None:
    """Wait until a mailbox is gone. Who asks more than a second after its end may not find it, however long
    the machine takes to ask and to answer."""
    while True:
        asked = time.time()
        if not lives(wire, address):
            return
        assert asked < end + LATE
        time.sleep(0.01)


def gone(wire: Wire, address: str) -> None:
    reply = wire.list(address)
    assert reply["code"] == "mailbox_not_found"
    assert wire.msg(address)["code"] == "mailbox_not_found"
    assert wire.delete(address, 0)["code"] == "mailbox_not_found"


def test_it_lives_its_ttl_and_is_gone_within_a_second(wire: Wire, address: str) -> None:
    begun = time.time()
    wire.create(name=address, ttl=1)
    wire.msg(address, "x")
    written = time.time()
    see_it_go(wire, address, written + 1)
    # The broker counts whole milliseconds.
    assert time.time() > begun + 0.999
    gone(wire, address)


def test_the_name_is_free_and_ids_start_over(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=1, public=True)
    for n in range(3):
        assert wire.msg(address, "old") == {"msg_id": n}
    wait_until(lambda: not lives(wire, address))
    assert wire.create(name=address) == {"mail_address": address, "is_new": True}
    assert wire.list(address)["total"] == 0
    assert wire.msg(address, "new") == {"msg_id": 0}
    wire.subscribe(address)
    assert wire.message().payload == b"new"
    assert wire.silent(0.03)


def test_only_writes_renew(wire: Wire, broker: Broker, address: str) -> None:
    """CREATE and MSG start the time again; SUB, LIST and DELETE do not."""
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
        asked = time.time()
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
            if not lives(wire, names[how]):
                assert time.time() >= before + 1.9
                alive.discard(how)
            elif how not in {"create", "msg"}:
                assert asked < begun + 2 + LATE
        time.sleep(0.05)
    assert alive == {"create", "msg"}


def test_zero_and_absent_never_expire_and_renewals_keep_or_replace(wire: Wire, address: str) -> None:
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
        see_it_go(wire, name, begun + 3)
    assert time.time() > before + 2.999
    assert [lives(wire, name) for name in names] == [True, True, True, True, False, False]


def test_a_mailbox_without_ttl_may_get_one(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, "x")
    wire.create(name=address, ttl=1)
    see_it_go(wire, address, time.time() + 1)


def test_deadlines_hold_across_restarts(broker: Broker, address: str) -> None:
    short, down, long = (f"{address}-{n}" for n in ("short", "down", "long"))
    with Wire(broker.port) as wire:
        wire.create(name=long, ttl=3600)
        before = time.time()
        wire.create(name=short, ttl=3)
        wire.create(name=down, ttl=1)
        wire.msg(down, "old")
        begun = time.time()
    broker.stop()
    while time.time() < begun + 1.1:
        time.sleep(0.02)
    broker.start()
    with Wire(broker.port) as wire:
        assert not lives(wire, down)
        assert wire.create(name=down)["is_new"]
        assert wire.msg(down) == {"msg_id": 0}
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert lives(wire, long)
        assert lives(wire, short) or time.time() > before + 2.9
        see_it_go(wire, short, begun + 3)
        assert time.time() >= before + 2.9
        assert lives(wire, long)
        assert wire.list(down)["total"] == 1
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        gone(wire, short)
        assert wire.list(down)["total"] == 1


def test_a_message_renews_across_a_restart(broker: Broker, address: str) -> None:
    with Wire(broker.port) as wire:
        begun = time.time()
        wire.create(name=address, ttl=2)
        while time.time() < begun + 1:
            time.sleep(0.02)
        before = time.time()
        assert wire.msg(address, "renews") == {"msg_id": 0}
        renewed = time.time()
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        while time.time() < begun + 2.2:
            time.sleep(0.02)
        assert lives(wire, address) or time.time() > before + 1.9
        see_it_go(wire, address, renewed + 2)


def test_an_expired_mailbox_is_never_revived_after_a_restart(
    start_broker: Callable[..., Broker], address: str
) -> None:
    """However many expired while the broker was down, the first request finds none of them."""
    broker = start_broker("--sync", "never")
    count = 5000
    with Wire(broker.port) as wire:
        wire.send(
            "".join(
                f"PUB {MAILBOX}CREATE {len(body)}\r\n{body}\r\nPUB {MSG}{address}-{n} 1\r\nx\r\n"
                for n in range(count)
                for body in [f'{{"name":"{address}-{n}","ttl":3}}']
            )
        )
        wire.ping()
        assert lives(wire, f"{address}-{count - 1}")
        written = time.time()
    broker.stop()
    while time.time() < written + 3.1:
        time.sleep(0.02)
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


def test_a_big_mailbox_goes_without_stalling_others_and_frees_its_space(
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
        # What a busy machine does to any request is not to be laid to the broker.
        usual = max(seconds_of_a_send(wire, other) for _ in range(200))
        wire.create(name=address, ttl=1)
        slowest = 0.0
        deadline = time.monotonic() + WAIT_SECONDS
        while lives(wire, address):
            assert time.monotonic() < deadline
            slowest = max(slowest, seconds_of_a_send(wire, other))
        for _ in range(200):
            slowest = max(slowest, seconds_of_a_send(wire, other))
        assert slowest < max(1, 10 * usual)
        sent = wire.list(other, limit=1)["total"]
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        gone(wire, address)
        assert wire.list(other, limit=1)["total"] == sent
        assert wire.create(name=address)["is_new"]
        assert wire.list(address)["total"] == 0


def test_many_small_mailboxes_expire_together(start_broker: Callable[..., Broker], address: str) -> None:
    broker = start_broker("--sync", "never", "--max-mailboxes", "3000")
    with Wire(broker.port) as wire:
        bodies = [f'{{"name":"{address}-{n}","ttl":3}}' for n in range(3000)]
        wire.send("".join(f"PUB {MAILBOX}CREATE {len(body)}\r\n{body}\r\n" for body in bodies))
        wire.ping()
        written = time.time()
        assert wire.create()["code"] == "limit_exceeded"
        for n in (0, 1500, 2999):
            see_it_go(wire, f"{address}-{n}", written + 3)
        wait_until(lambda: "code" not in wire.create())


def megabytes(directory: Path) -> int:
    """What the files of a store take, some of which may be going."""
    size = 0
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size >> 20


def test_the_space_of_an_expired_mailbox_is_used_again(
    start_broker: Callable[..., Broker], address: str
) -> None:
    """A store that is filled and expires over and over does not grow with what has passed through it."""
    broker = start_broker("--sync", "never")
    payload = os.urandom(50_000)
    with Wire(broker.port) as wire:
        for _ in range(5):
            wire.create(name=address, ttl=1)
            for _ in range(1200):
                wire.pub(MSG + address, payload)
            wire.ping()
            wait_until(lambda: not lives(wire, address))
        # 60 MB live at a time, 300 MB in all. The store takes its time to clear up.
        wait_until(lambda: megabytes(broker.data_dir) < 230)


def test_an_end_that_the_store_refuses_once_is_stored_the_next_time(tmp_path: Path) -> None:
    """Else the record stays on the disk of a broker that believes it gone."""

    async def expire_amid_a_failure() -> None:
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
            except StoreError:  # it is being opened again
                return False

        async def has_ticked() -> bool:
            return broker.mailboxes.mailbox_index.now_ms > 0

        await wait_until_async(has_ticked)
        broker.mailboxes.create(name="short", ttl=1)
        broker.engine.pending_work.schedule_end()
        await wait_until_async(is_stored)
        faults.failing_writes = 1
        await wait_until_async(is_gone)
        assert faults.failing_writes == 0
        await broker.stop()

    asyncio.run(expire_amid_a_failure())
