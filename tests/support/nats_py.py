"""nats-py with longer timeouts: its default of half a second is too short on a busy machine."""

import functools
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from tests.support.waiting import WAIT_SECONDS


class PatientClient(Client):
    """nats-py's client, with timeouts that only a defect reaches."""

    async def request(
        self, subject: str, payload: bytes = b"", timeout: float = WAIT_SECONDS, **options: Any
    ) -> Msg:
        return await super().request(subject, payload, timeout, **options)

    async def flush(self, timeout: float = WAIT_SECONDS) -> None:
        # Otherwise nats-py can write PING before commands that are still queued, such as UNSUB for a drain.
        await self._flush_pending(force_flush=True)
        await super().flush(timeout)


def wait_patiently() -> None:
    """Have nats-py wait longer in this process wherever a program does not say how long."""
    for owner, method, limit in (
        (Client, "connect", "connect_timeout"),
        (Client, "request", "timeout"),
        (Subscription, "next_msg", "timeout"),
    ):
        patient = functools.partialmethod(getattr(owner, method), **{limit: WAIT_SECONDS})
        setattr(owner, method, patient)


async def connect(url: str, **options: Any) -> PatientClient:
    """`nats.connect`, with the longer timeouts."""
    client = PatientClient()
    await client.connect(url, **{"connect_timeout": WAIT_SECONDS, "drain_timeout": WAIT_SECONDS, **options})
    return client
