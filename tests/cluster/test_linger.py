"""Commit groups that wait for clients that were just answered, so that one record has the messages of all."""

import asyncio
from pathlib import Path

import pytest

from mq9fast.cluster.appender import Stored
from mq9fast.cluster.log_syncer import LogSyncer
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.commit import linger
from mq9fast.commit.linger import MAX_BYTES, PAUSE_GROUPS, Linger
from tests.support.memory_log import MemoryLog, MemoryRecords
from tests.support.nats_py import PatientClient, connect
from tests.support.owner import become_owner, owner
from tests.support.waiting import WAIT_SECONDS, wait_until_async

CLIENTS = 4
ROUNDS = 10
ANSWER_SECONDS = 0.02


class Clock:
    """The time that `Linger` sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1.0
        monkeypatch.setattr(linger.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class SlowLog(MemoryLog):
    """Takes time for an answer."""

    def store(self, record: bytes, expected: int | None, answer: Stored) -> None:
        self._loop.call_later(ANSWER_SECONDS, answer, self._records.try_store(record, expected))


async def send_on(client: PatientClient, counts: list[int], number: int) -> None:
    while True:
        await client.request("$mq9.AI.MAILBOX.MSG.test.a", b"body")
        counts[number] += 1


def test_one_record_has_the_messages_of_all_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogSyncer, "linger_seconds", WAIT_SECONDS)

    async def main() -> None:
        log, store = SlowLog(MemoryRecords()), ReplicatedStore(tmp_path / "a")
        await become_owner(log, store, 1)
        broker = owner(log, store)
        await broker.start()
        assert store.writer is not None
        clients = [await connect(f"nats://127.0.0.1:{broker.address[1]}") for _ in range(CLIENTS)]
        await clients[0].request("$mq9.AI.MAILBOX.CREATE", b'{"name": "test.a"}')
        counts = [0] * CLIENTS
        tasks = []
        for number, client in enumerate(clients):
            tasks.append(asyncio.create_task(send_on(client, counts, number)))
            # What the next ones send comes while this is appended.
            await asyncio.sleep(ANSWER_SECONDS / 10)

        async def all_sent(rounds: int) -> tuple[int, int]:
            async def have_sent() -> bool:
                return min(counts) >= rounds

            await wait_until_async(have_sent)
            return store.writer.records if store.writer else 0, sum(counts)

        records, replies = await all_sent(ROUNDS)
        more_records, more_replies = await all_sent(3 * ROUNDS)
        assert more_replies - replies >= (more_records - records - 1) * CLIENTS > ROUNDS * CLIENTS
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Nobody sends any more, but a broker that stops waits for nobody.
        await broker.stop()
        for client in clients:
            await client.close()

    asyncio.run(asyncio.wait_for(main(), WAIT_SECONDS))


def test_group_waits_until_all_have_sent(clock: Clock) -> None:
    lingering = Linger(1.0)
    assert not lingering.holds(1, 100)
    lingering.note_release(3, 2)
    assert lingering.holds(2, 100) and lingering.holds(4, 100)
    assert not lingering.holds(5, 100)
    assert not lingering.holds(1, 100)


def test_large_group_does_not_wait(clock: Clock) -> None:
    lingering = Linger(1.0)
    lingering.note_release(3000, 2000)
    assert not lingering.holds(2001, MAX_BYTES + 1)


def test_groups_do_not_wait_again_and_again_in_vain(clock: Clock) -> None:
    lingering = Linger(1.0)
    lingering.note_release(3, 0)
    assert lingering.holds(1, 100)
    clock.now += 1.0
    assert not lingering.holds(1, 100)
    for _ in range(PAUSE_GROUPS):
        lingering.note_release(3, 0)
        assert not lingering.holds(1, 100)
    lingering.note_release(3, 0)
    assert lingering.holds(1, 100)


def test_client_that_comes_later_is_not_waited_for(clock: Clock) -> None:
    lingering = Linger(1.0)
    lingering.note_release(3, 0)
    clock.now += 2.0
    assert not lingering.holds(1, 100)
    lingering.note_release(3, 0)
    assert lingering.holds(1, 100)


def test_single_node_never_waits(clock: Clock) -> None:
    lingering = Linger(0.0)
    lingering.note_release(3, 2)
    assert not lingering.holds(2, 100)
