"""Whether nodes show clients what is no longer true, when nothing is sent that the log could refuse.

An owner that sends wait for tells nobody anything before the log has answered. So here clients only read.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable

import nats

from tests.support.counted_sends import CREATE, MSG, connect
from tests.support.local_cluster import BROKER, LocalCluster
from tests.support.nats_py import PatientClient
from tests.support.nats_py import connect as connect_to
from tests.support.waiting import wait_until, wait_until_async

LIST = "$mq9.AI.MAILBOX.LIST."
COUNT = 20
PATIENCE_SECONDS = 1.0
# A former owner that answers does so at once.
STALE_SECONDS = 3.0


async def check_reads_after_kill(
    cluster: LocalCluster, address: str, begin: Callable[[], None] = lambda: None
) -> None:
    """The owner is killed; the next one must list everything that was acknowledged. `begin` is called before
    anything is sent."""
    client = await connect(cluster)
    try:
        await _create(client, address)
        begin()
        await _send(client, address, COUNT)
        cluster.signal(await asyncio.to_thread(cluster.owner), BROKER, signal.SIGKILL)
        total: list[int] = []

        async def listed() -> bool:
            with contextlib.suppress(nats.errors.Error, OSError, KeyError):
                total.append(await _total(client, address, PATIENCE_SECONDS))
            return bool(total)

        await wait_until_async(listed)
        assert total[0] >= COUNT, (
            f"the new owner lists {total[0]} of {COUNT} acknowledged messages: lost reads"
        )
    finally:
        await _close(client)


async def check_reads_after_stop(cluster: LocalCluster, address: str) -> None:
    """The owner stands still, and another one follows; the former one must not list what it has."""
    client = await connect(cluster)
    owner = await asyncio.to_thread(cluster.owner)
    reader = await connect_to(cluster.url(owner), allow_reconnect=False, ping_interval=60)
    try:
        await _create(client, address)
        await _send(client, address, 1)
        pid = cluster.signal(owner, BROKER, signal.SIGSTOP)
        try:
            await asyncio.to_thread(wait_until, lambda: cluster.owner() != owner)
            await _send(client, address, COUNT)
            listing = asyncio.create_task(_total(reader, address, STALE_SECONDS))
            await asyncio.sleep(0.1)
        finally:
            os.kill(pid, signal.SIGCONT)
        with contextlib.suppress(nats.errors.Error, OSError, KeyError):
            total = await listing
            assert total > COUNT, (
                f"the former owner lists {total} of {COUNT + 1} acknowledged messages: lost reads"
            )
    finally:
        await _close(reader)
        await _close(client)


async def _close(client: PatientClient) -> None:
    with contextlib.suppress(nats.errors.Error, OSError):
        await client.close()


async def _total(client: PatientClient, address: str, seconds: float) -> int:
    """How many messages LIST says that there are. Raises KeyError if the store is not available."""
    answer = json.loads((await client.request(LIST + address, b'{"limit":1}', timeout=seconds)).data)
    return 0 if answer.get("code") == "mailbox_not_found" else int(answer["total"])


async def _create(client: PatientClient, address: str) -> None:
    await _until_ok(client, CREATE, json.dumps({"name": address}).encode(), "mail_address")


async def _send(client: PatientClient, address: str, count: int) -> None:
    for _ in range(count):
        await _until_ok(client, MSG + address, b"x", "msg_id")


async def _until_ok(client: PatientClient, subject: str, body: bytes, field: str) -> None:
    async def done() -> bool:
        with contextlib.suppress(nats.errors.Error, OSError):
            answer = json.loads((await client.request(subject, body, timeout=PATIENCE_SECONDS)).data)
            assert answer.get("code") != "mailbox_not_found", "a mailbox that was created is lost"
            return field in answer
        return False

    await wait_until_async(done)
