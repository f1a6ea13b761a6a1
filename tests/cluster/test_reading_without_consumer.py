"""Records of a real JetStream are read also while no consumer of them can be made."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mq9fast.cluster.connection import Access
from mq9fast.cluster.jetstream_log import JetStreamLog
from tests.cluster.test_appender import append
from tests.support.nats_cluster import free_ports
from tests.support.nats_server import NATS_SERVER
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until, wait_until_async

pytestmark = pytest.mark.skipif(NATS_SERVER is None, reason="needs nats-server")
STREAM = "LOG"
NO_CONSUMERS = 'permissions: { publish: { deny: "$JS.API.CONSUMER.>" } }'


class Server:
    """A nats-server with JetStream, at which the user `reader` may make no consumers until `allow`."""

    def __init__(self, directory: Path) -> None:
        assert NATS_SERVER is not None
        self._directory, self._config = directory, directory / "server.conf"
        self.port = free_ports(1)[0]
        self._configure(NO_CONSUMERS)
        self.log = directory / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([NATS_SERVER, "-c", str(self._config)], stderr=log)
        wait_until(lambda: "Server is ready" in self.log.read_text(), START_SECONDS)

    def _configure(self, rules: str) -> None:
        self._config.write_text(
            f"listen: 127.0.0.1:{self.port}\njetstream {{ store_dir: {self._directory}/js }}\n"
            "authorization { users: [ { user: owner, password: o }, "
            f"{{ user: reader, password: r, {rules} }} ] }}\n"
        )

    def allow(self) -> None:
        self._configure("")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Reloaded server configuration" in self.log.read_text(), WAIT_SECONDS)

    def access(self, user: str) -> Access:
        return Access([f"nats://127.0.0.1:{self.port}"], user=user, password=user[0])

    def end(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_SECONDS)


async def take(records: AsyncIterator[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
    taken = []
    for _ in range(count):
        taken.append(await asyncio.wait_for(anext(records), WAIT_SECONDS))
    return taken


async def consumers(log: JetStreamLog) -> int:
    info = await log._connection.ask(f"$JS.API.STREAM.INFO.{STREAM}", {}, WAIT_SECONDS)
    return int(info["state"]["consumer_count"])


def test_records_are_read_before_and_after_there_is_a_consumer(tmp_path: Path) -> None:
    async def case(server: Server) -> None:
        log, reader = (JetStreamLog(server.access(user), STREAM) for user in ("owner", "reader"))
        for each in (log, reader):
            await each.connect()
        await log.create(replicas=1)
        expected = [(i + 1, b"%d" % i) for i in range(12)]
        records = reader.read(1)
        reading = asyncio.create_task(take(records, 4))
        for i in range(4):
            await append(log, b"%d" % i, i)
        assert await reading == expected[:4]
        assert reader.behind() == 0
        reading = asyncio.create_task(take(records, 4))
        for i in range(4, 8):
            await append(log, b"%d" % i, i)
        assert await reading == expected[4:8]
        assert await consumers(log) == 0
        reading = asyncio.create_task(take(records, 4))
        server.allow()

        async def has_consumer() -> bool:
            return await consumers(log) > 0

        await wait_until_async(has_consumer)
        for i in range(8, 12):
            await append(log, b"%d" % i, i)
        assert await reading == expected[8:]
        for each in (reader, log):
            await each.close()

    server = Server(tmp_path)
    try:
        asyncio.run(case(server))
    finally:
        server.end()
