"""The typed client, for tests: with timeouts that only a defect reaches."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import mq9fast
from mq9fast.client import Mq9
from tests.support.waiting import WAIT_SECONDS


def connect(url: str, **options: Any) -> Mq9:
    return mq9fast.connect(url, **{"timeout": WAIT_SECONDS, **options})


def with_client(url: str, use: Callable[[Mq9], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Connect, run `use`, and close."""

    async def run() -> None:
        async with connect(url, **options) as mq9:
            await asyncio.wait_for(use(mq9), WAIT_SECONDS)

    asyncio.run(run())
