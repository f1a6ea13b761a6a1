"""Sends numbered messages to a cluster until it is told to stop, and finds out which were lost."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable

import nats

from tests.support.local_cluster import LocalCluster
from tests.support.nats_py import PatientClient
from tests.support.waiting import wait_until_async

# Without a reply for so long, the outcome of a send is unknown.
PATIENCE_SECONDS = 1.0
MAX_SECONDS = 300
MSG = "$mq9.AI.MAILBOX.MSG."
CREATE = "$mq9.AI.MAILBOX.CREATE"


async def connect(cluster: LocalCluster, reconnected: Callable[[], None] = lambda: None) -> PatientClient:
    """A client that looks for the owner again and again."""

    async def quiet(_error: Exception) -> None:
        pass

    async def is_back() -> None:
        reconnected()

    client = PatientClient()
    await client.connect(
        cluster.urls,
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
        connect_timeout=2,
        ping_interval=1,
        max_outstanding_pings=2,
        error_cb=quiet,
        reconnected_cb=is_back,
    )
    return client


class CountedSends:
    """Sends of several tasks to one mailbox. `stored`: the msg_id that each body was told. `refusals`: the
    codes of errors. `longest_gap`: seconds without any reply that tells of a stored message."""

    def __init__(
        self, cluster: LocalCluster, address: str, senders: int = 8, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._cluster = cluster
        self._address = address
        self._senders = senders
        self._patience = patience
        self.stored: dict[str, int] = {}
        self.in_order: list[list[int]] = [[] for _ in range(senders)]
        self.sent: set[str] = set()
        self.refusals: list[str] = []
        self.longest_gap = 0.0
        self._last = time.monotonic()
        self._stopped = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["CountedSends"]:
        """Send until the end of the block."""
        client = await connect(self._cluster)
        await self._create(client)
        self._last = time.monotonic()
        self.longest_gap = 0.0
        self._stopped = False
        tasks = [asyncio.create_task(self._send(client, number)) for number in range(self._senders)]
        try:
            yield self
        finally:
            # Not by cancelling: before Python 3.12, wait_for may swallow that.
            self._stopped = True
            await asyncio.gather(*tasks)
            await client.close()

    async def _create(self, client: PatientClient) -> None:
        body = json.dumps({"public": True, "name": self._address}).encode()

        async def created() -> bool:
            with contextlib.suppress(nats.errors.Error):
                answer = await client.request(CREATE, body, timeout=PATIENCE_SECONDS)
                return "mail_address" in json.loads(answer.data)
            return False

        await wait_until_async(created)

    async def _send(self, client: PatientClient, sender: int) -> None:
        while not self._stopped:
            body = f"{sender}-{len(self.sent)}"
            self.sent.add(body)
            try:
                answer = await client.request(MSG + self._address, body.encode(), timeout=self._patience)
            except (nats.errors.Error, OSError):
                await asyncio.sleep(0.02)
                continue
            reply = json.loads(answer.data)
            if "error" in reply:
                self.refusals.append(reply.get("code", "?"))
                await asyncio.sleep(0.02)
                continue
            self.stored[body] = reply["msg_id"]
            self.in_order[sender].append(reply["msg_id"])
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - self._last)
            self._last = now

    async def more(self, count: int = 50) -> None:
        """Wait until so many more messages are stored."""
        target = len(self.stored) + count

        async def enough() -> bool:
            assert "mailbox_not_found" not in self.refusals, "the mailbox, which was created, is lost"
            return len(self.stored) >= target

        await wait_until_async(enough)

    async def check(self) -> None:
        """Read the mailbox, and check that it has each message that was stored, once, in order."""
        found: dict[str, int] = {}
        ids: list[int] = []

        async def take(message: nats.aio.msg.Msg) -> None:
            ids.append(int(message.reply.rpartition(".")[2].partition("-")[0]))
            found.setdefault(message.data.decode(), ids[-1])

        def begin_again() -> None:
            """Another replay follows."""
            ids.clear()
            found.clear()

        client = await connect(self._cluster, begin_again)
        try:
            await client.subscribe(MSG + self._address, cb=take)
            wanted = set(self.stored)

            async def all_found() -> bool:
                return wanted <= found.keys()

            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(wait_until_async(all_found), 20)
        finally:
            await client.close()
        lost = {body: msg_id for body, msg_id in self.stored.items() if found.get(body) != msg_id}
        assert not lost, f"{len(lost)} of {len(self.stored)} acknowledged messages are lost: {list(lost)[:5]}"
        assert found.keys() <= self.sent
        assert len(set(ids)) == len(ids), "an id was given twice"
        assert ids == sorted(ids)
        for order in self.in_order:
            assert order == sorted(order), "an id that was given later is lower"


def sends_survive(
    cluster: LocalCluster, address: str, *faults: Callable[[LocalCluster], None]
) -> CountedSends:
    """Send all the time while the faults happen, one after the other; check what is stored afterwards."""
    sends = CountedSends(cluster, address)

    async def test() -> None:
        async with sends.running():
            for fault in faults:
                await sends.more()
                await asyncio.to_thread(fault, cluster)
                await sends.more()
        await asyncio.to_thread(cluster.wait_until_whole)
        await sends.check()

    asyncio.run(asyncio.wait_for(test(), MAX_SECONDS))
    return sends
