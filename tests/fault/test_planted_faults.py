"""Real brokers with a planted fault: the random workload and the checker find it."""

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.harness.machine import USERS, Machine, url_of
from tests.fault.harness.workload import Workload
from tests.fault.history.checker import find_violations
from tests.fault.history.history import History
from tests.fault.lying_proxy import Change, Frame, lying_proxy, unchanged
from tests.support.waiting import wait_until_async

WORK_SECONDS = 0.8
# On a busy machine this takes longer.
WORK_OPERATIONS = 800


def every(number: int, change: Change) -> Change:
    """`change` applies to each `number`th of the frames that it changes at all."""
    count = 0

    def apply(frame: Frame) -> list[Frame]:
        nonlocal count
        changed = change(frame)
        if changed == [frame]:
            return changed
        count += 1
        return [frame] if count % number else changed

    return apply


def on_deliveries(box: str, change: Change) -> Change:
    def apply(frame: Frame) -> list[Frame]:
        is_one = frame.is_delivery and f".{box}".encode() in frame.subject
        return change(frame) if is_one else [frame]

    return apply


def repeat(frame: Frame) -> list[Frame]:
    return [frame, Frame(frame.words, frame.payload)]


def drop(_: Frame) -> list[Frame]:
    return []


def damage(frame: Frame) -> list[Frame]:
    last = bytes([frame.payload[-1] ^ 1])
    return [Frame(frame.words, frame.payload[:-1] + last)]


def swap() -> Change:
    held: list[Frame] = []

    def apply(frame: Frame) -> list[Frame]:
        held.append(frame)
        if len(held) < 2:
            return []
        first, second = held
        held.clear()
        return [second, first]

    return apply


def in_replies(pattern: bytes, to: Callable[[re.Match[bytes]], bytes]) -> Change:
    def apply(frame: Frame) -> list[Frame]:
        if not frame.is_reply:
            return [frame]
        payload = re.sub(pattern, to, frame.payload)
        return [Frame([*frame.words[:-1], b"%d" % len(payload)], payload)]

    return apply


def swallow_sends() -> Change:
    """Acknowledge messages that are written nowhere."""
    ids = iter(range(100_000, 10**9))

    def apply(frame: Frame) -> list[Frame]:
        is_send = frame.verb == b"HPUB" and b".work" in frame.subject and len(frame.words) == 5
        if not is_send:
            return [frame]
        body = json.dumps({"msg_id": next(ids)}).encode()
        # The client's own subscription for replies is its first.
        return [Frame([b"MSG", frame.words[2], b"1", b"%d" % len(body)], body)]

    return apply


def swallow_deletes(frame: Frame) -> list[Frame]:
    is_delete = frame.verb == b"PUB" and b"MAILBOX.DELETE." in frame.subject and len(frame.words) == 4
    if not is_delete or b".work." not in frame.subject:
        return [frame]
    body = b'{"deleted":true}'
    return [Frame([b"MSG", frame.words[2], b"1", b"%d" % len(body)], body)]


def earlier(found: re.Match[bytes]) -> bytes:
    return b'{"msg_id":%d}' % max(int(found[1]) - 5, 0)


TO_CLIENTS = {
    "not delivered": every(5, on_deliveries("work", drop)),
    "twice": every(9, on_deliveries("work", repeat)),
    "two members": every(9, on_deliveries("tasks", repeat)),
    "order": every(5, on_deliveries("work", swap())),
    "content": every(9, on_deliveries("work", damage)),
    "ids": every(9, in_replies(rb'^{"msg_id":(\d+)}$', earlier)),
    "ended twice": every(3, in_replies(rb'^{"deleted":false}$', lambda _: b'{"deleted":true}')),
    "list": in_replies(rb'"total":(\d+)', lambda found: b'"total":%d' % (int(found[1]) + 1)),
}
TO_BROKER = {"lost": every(9, swallow_sends()), "returned": every(9, swallow_deletes)}
SOUND = "sound"


def rules_broken(tmp_path: Path, to_clients: Change, to_broker: Change) -> set[str]:
    """The rules that a broker behind a lying proxy breaks."""
    history = History()

    async def work() -> None:
        machine = await asyncio.to_thread(lambda: Machine(tmp_path, is_small=False))
        try:
            async with lying_proxy(machine.broker.port, to_clients=to_clients, to_broker=to_broker) as port:
                workload = Workload(history, lambda: [url_of(port, USERS[0])], "planted")
                await workload.create()
                await phase(workload)
                # For what is missing it would wait in vain.
                await (workload.finish() if to_clients is to_broker else workload.finish(0, 1))
        finally:
            machine.broker.kill()

    asyncio.run(work())
    return {violation.rule for violation in find_violations(history)}


async def phase(workload: Workload) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(workload.work(stop))
    before = workload.history.operations
    await asyncio.sleep(WORK_SECONDS)

    async def enough() -> bool:
        return workload.history.operations - before > WORK_OPERATIONS

    await wait_until_async(enough)
    stop.set()
    await working


@pytest.mark.parametrize("rule", [SOUND, *TO_CLIENTS, *TO_BROKER])
def test_changed_traffic_breaks_the_rule(rule: str, tmp_path: Path) -> None:
    broken = rules_broken(tmp_path, TO_CLIENTS.get(rule, unchanged), TO_BROKER.get(rule, unchanged))
    assert broken == set() if rule == SOUND else rule in broken


@pytest.mark.parametrize(
    ("fault", "rules"), [("no fsync", {"lost"}), ("rolled back", {"lost", "returned", "ids"})]
)
def test_lost_writes_are_found(fault: str, rules: set[str], tmp_path: Path) -> None:
    """Of a broker that acknowledges before it is durable, and of a disk that goes back to an older state."""
    history = History()
    flags = ("--sync", "never") if fault == "no fsync" else ()

    async def work() -> None:
        machine = await asyncio.to_thread(lambda: Machine(tmp_path, *flags, is_small=False))
        workload = Workload(history, lambda: machine.urls, "planted")
        try:
            await workload.create()
            await phase(workload)
            if fault == "rolled back":
                await machine.restart(kill=False)
                older = machine.copy("older")
            working = asyncio.create_task(workload.work(asyncio.Event()))
            await asyncio.sleep(WORK_SECONDS)
            with history.fault("power"):
                if fault == "rolled back":
                    machine.broker.kill()
                    shutil.rmtree(machine.data_dir)
                    older.rename(machine.data_dir)
                else:
                    machine.cut_power(None)
                await machine.start()
            await working
            await workload.create()
            await phase(workload)
            await workload.list_all()
        finally:
            machine.broker.kill()

    asyncio.run(work())
    assert rules <= {violation.rule for violation in find_violations(history)}
