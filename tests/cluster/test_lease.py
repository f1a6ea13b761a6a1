"""Who is the owner: no two leases are trusted at a time, and another node takes over when one has run out."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mq9fast.cluster import election, lease, tasks
from mq9fast.cluster.election import Election
from mq9fast.cluster.lease import Lease
from mq9fast.cluster.registry import OwnerRecord
from tests.support.memory_registry import MemoryRegistry


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the times, so that tests are short. Their ratios are those of a real node."""
    for module, names in (
        (lease, ("TRUST_SECONDS", "RENEW_SECONDS", "RETRY_SECONDS")),
        (election, ("LEASE_SECONDS", "POLL_SECONDS", "SETTLE_SECONDS")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name) / 10)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def candidate(registry: MemoryRegistry, name: str, *, ready: bool = True) -> Election:
    return Election(registry, name, f"{name}-1", lambda: ready)


async def win(registry: MemoryRegistry, name: str, lost: Callable[[], None] = lambda: None) -> Lease:
    return await candidate(registry, name).win(lost)


def test_one_of_many_wins() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        races = [asyncio.create_task(win(registry, f"n{number}")) for number in range(5)]
        done, pending = await asyncio.wait(races, timeout=1.0)
        assert len(done) == 1 and len(pending) == 4
        assert done.pop().result().may_read()

    run(test)


def test_a_renewed_lease_is_kept() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        first = await win(registry, "n1")
        other = asyncio.create_task(win(registry, "n2"))
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert first.may_read()
        assert first.renewals >= 5 and not other.done()

    run(test)


def test_a_lease_that_is_not_renewed_ends_before_another_begins() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        first = await win(registry, "n1")
        trusted_until = first._trusted_until
        first._task.cancel()
        second = await win(registry, "n2")
        assert time.monotonic() > trusted_until
        assert not first.may_read() and second.may_read()
        assert second.record.epoch == first.record.epoch + 1

    run(test)


def test_a_released_lease_is_taken_at_once() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        first = await win(registry, "n1")
        other = asyncio.create_task(win(registry, "n2"))
        await asyncio.sleep(0.05)
        await first.release()
        assert not first.may_read()
        second = await asyncio.wait_for(other, election.LEASE_SECONDS / 2)
        assert second.record.node == "n2"

    run(test)


def test_an_owner_learns_that_it_is_none_any_more() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        lost = asyncio.Event()
        first = await win(registry, "n1", lost.set)
        assert registry.entry is not None
        await registry.update(lease.OwnerRecord(epoch=2, node="n2", instance="n2-1"), registry.entry.revision)
        await lost.wait()
        assert not first.may_read()

    run(test)


def test_a_renewal_whose_answer_is_lost_is_no_loss() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        lost = asyncio.Event()
        first = await win(registry, "n1", lost.set)
        registry.loses_answers = True
        await asyncio.sleep(0.3)
        assert first.failed_renewals and not first.may_read()
        registry.loses_answers = False
        await asyncio.sleep(0.3)
        assert first.may_read() and not lost.is_set()

    run(test)


def test_after_the_registry_was_away_the_owner_comes_first() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        first = await win(registry, "n1")
        other = asyncio.create_task(win(registry, "n2"))
        await asyncio.sleep(0.05)
        registry.is_away = True
        await asyncio.sleep(0.5)
        assert not first.may_read()
        registry.is_away = False
        await asyncio.sleep(0.3)
        assert first.may_read() and not other.done()

    run(test)


def test_a_claim_whose_answer_is_lost_is_repeated_with_another_epoch() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        registry.loses_answers = True
        winning = asyncio.create_task(win(registry, "n1"))
        await asyncio.sleep(0.05)
        assert registry.entry is not None and registry.entry.record.epoch == 1
        registry.loses_answers = False
        assert (await winning).record.epoch == 2

    run(test)


def test_a_node_that_is_behind_leaves_the_place_to_others() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        behind = asyncio.create_task(candidate(registry, "n1", ready=False).win(lambda: None))
        await asyncio.sleep(0.1)
        assert (await win(registry, "n2")).record.node == "n2"
        assert not behind.done()

    run(test)


def test_a_lease_whose_last_renewal_was_not_answered_is_released() -> None:
    async def test() -> None:
        registry = MemoryRegistry()
        first = await win(registry, "n1")
        registry.loses_answers = True
        while registry.entry is None or registry.entry.revision < 2:  # noqa: ASYNC110 (before the answer)
            await asyncio.sleep(0)
        registry.loses_answers = False
        await first.release()
        assert registry.entry.record.released

    run(test)


def test_a_renewal_that_swallows_its_cancellation_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(MemoryRegistry):
        """As `asyncio.wait_for` before Python 3.12, if the answer comes in the same moment."""

        async def update(self, record: OwnerRecord, revision: int) -> int:
            if revision:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(3600)
            return await super().update(record, revision)

    async def test() -> None:
        monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
        renewed = await win(Stubborn(), "n1")
        await asyncio.sleep(3 * lease.RENEW_SECONDS)
        await renewed.close()
        assert not renewed.may_read()

    run(test)
