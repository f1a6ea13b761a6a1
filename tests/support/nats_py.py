"""nats-py as its users have it, but for its patience: half a second for an answer is for machines at rest."""

from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.waiting import WAIT_SECONDS


class Patient(Client):
    """A client that waits for what comes sooner or later."""

    async def request(
        self, subject: str, payload: bytes = b"", timeout: float = WAIT_SECONDS, **options: Any
    ) -> Msg:
        return await super().request(subject, payload, timeout, **options)

    async def flush(self, timeout: float = WAIT_SECONDS) -> None:
        await super().flush(timeout)


async def connect(url: str, **options: Any) -> Patient:
    """What nats.connect does."""
    client = Patient()
    await client.connect(url, **{"connect_timeout": WAIT_SECONDS, "drain_timeout": WAIT_SECONDS, **options})
    return client
