"""The log on three real nats-servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mq9fast.cluster import jetstream_log
from mq9fast.cluster.appender import Stored
from mq9fast.cluster.connection import Access
from mq9fast.cluster.jetstream_log import JetStreamLog
from mq9fast.cluster.log import Deposed, LogError, LogFull
from mq9fast.cluster.replicated_store import ReplicatedStore
from tests.cluster.test_appender import append
from tests.support.nats_cluster import SIZE, NatsCluster
from tests.support.owner import become_owner, copy_of, owner, rows_of
from tests.support.sends import send
from tests.support.waiting import WAIT_SECONDS, wait_until_async

_streams = iter(range(1000))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    cluster = NatsCluster(tmp_path_factory.mktemp("servers"))
    yield cluster
    cluster.end()


@pytest.fixture
def stream() -> str:
    return f"LOG{next(_streams)}"


@asynccontextmanager
async def opened(servers: NatsCluster, stream: str, *, max_bytes: int = -1) -> AsyncIterator[JetStreamLog]:
    log = JetStreamLog(Access(servers.urls), stream)
    await log.connect()
    while True:
        try:
            await log.create(max_bytes=max_bytes)
            break
        except LogError:  # the servers elect a leader
            await asyncio.sleep(0.1)
    try:
        yield log
    finally:
        await log.close()


def run(case: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await case()

    asyncio.run(main())


async def read(log: JetStreamLog, first: int, count: int) -> list[tuple[int, bytes]]:
    records = []
    async for record in log.read(first):
        records.append(record)
        if len(records) == count:
            break
    return records


def test_append_fence_read_and_trim(servers: NatsCluster, stream: str) -> None:
    async def case() -> None:
        async with opened(servers, stream) as one, opened(servers, stream) as two:
            assert await one.fence(b"first") == 1
            assert await append(one, b"a", 1) == 2 == one.end()
            assert await two.fence(b"second") == 3
            with pytest.raises(Deposed):
                await append(one, b"b", 2)
            assert await read(two, 1, 3) == [(1, b"first"), (2, b"a"), (3, b"second")]
            await two.trim(3)
            assert await read(two, 1, 1) == [(3, b"second")]
            large = bytes(two.max_record)
            assert await append(two, large, 3) == 4
            assert await read(one, 4, 1) == [(4, large)]

    run(case)


def test_full_stream_refuses_until_it_is_trimmed(servers: NatsCluster, stream: str) -> None:
    async def case() -> None:
        async with opened(servers, stream, max_bytes=2000) as log:
            assert await append(log, bytes(1200), 0) == 1
            with pytest.raises(LogFull, match="full"):
                await append(log, bytes(1200), 1)
            await log.trim(2)
            assert await append(log, bytes(1200), 1) == 2

    run(case)


def test_reader_follows_the_end(servers: NatsCluster, stream: str) -> None:
    async def case() -> None:
        async with opened(servers, stream) as log, opened(servers, stream) as other:
            reading = asyncio.create_task(read(other, 1, 50))
            for i in range(50):
                await append(log, b"%d" % i, i)
            assert await reading == [(i + 1, b"%d" % i) for i in range(50)]

    run(case)


def test_owner_stays_connected_to_the_leader(
    servers: NatsCluster, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream_log, "LOOK_SECONDS", 0.02)

    async def case() -> None:
        async with opened(servers, stream) as log:
            connection = log._connection
            api = f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}"

            async def is_at_leader() -> bool:
                return connection.server_name == await log._leader()

            end = await log.fence(b"fence")
            for server in range(SIZE):
                await wait_until_async(is_at_leader)
                former, at = connection.server_name, time.monotonic()
                other = f"n{(int(former[1:]) + 1 + server % 2) % SIZE}"
                await connection.ask(api, {"placement": {"preferred": other}}, 5)
                # Appends go on meanwhile: those whose answer is lost with a connection are sent again.
                while connection.server_name == former and time.monotonic() < at + WAIT_SECONDS:
                    end = await append(log, b"record %d" % end, end)
                assert connection.server_name == other
            records = await read(log, 2, end - 1)
            assert records == [(number, b"record %d" % (number - 1)) for number in range(2, end + 1)]

    run(case)


def test_no_answer_is_lost_when_the_owner_moves_to_the_leader(servers: NatsCluster, stream: str) -> None:
    async def case() -> None:
        async with opened(servers, stream) as log:
            connection, tries = log._connection, 0
            leader = await log._leader()
            other = await connection.open_to(f"n{(int(leader[1:]) + 1) % SIZE}")
            assert other is not None
            connection.move(other)
            store = log.store

            def counted(record: bytes, expected: int | None, answer: Stored) -> None:
                nonlocal tries
                tries += 1
                store(record, expected, answer)

            log.store = counted  # type: ignore[method-assign]
            end = await log.fence(b"fence")
            while connection.server_name != leader:
                end = await append(log, bytes(100_000), end)
            await append(log, b"last", end)
            assert tries == end + 1

    run(case)


def test_stream_of_another_program_is_refused(servers: NatsCluster, stream: str) -> None:
    async def case() -> None:
        async with opened(servers, stream) as log:
            other = {"name": "OTHER", "subjects": ["OTHER.log"], "discard": "old", "num_replicas": 1}
            await log._connection.ask("$JS.API.STREAM.CREATE.OTHER", other, 5)
            mine = JetStreamLog(Access(servers.urls), "OTHER")
            await mine.connect()
            with pytest.raises(LogError, match="not one of mq9fast: discard differs"):
                await mine.create()
            await mine.close()

    run(case)


def test_owner_serves_and_a_follower_has_its_store(servers: NatsCluster, stream: str, tmp_path: Path) -> None:
    async def case() -> None:
        async with opened(servers, stream) as log:
            store = ReplicatedStore(tmp_path / "a")
            await become_owner(log, store, 1)
            broker = owner(log, store)
            await broker.start()
            replies = await send(broker.address[1], 2000)
            assert len(set(replies)) == 2000
            await send(broker.address[1], 3, size=900_000)
            copy = await copy_of(log, tmp_path / "b")
            assert rows_of(copy) == rows_of(store)
            copy.close()
            await broker.stop()

    run(case)
