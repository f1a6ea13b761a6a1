"""Waiting until a condition holds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

# Far longer than a busy machine takes: only a defect reaches these limits.
START_SECONDS = 120.0
WAIT_SECONDS = 60.0


def wait_until(condition: Any, timeout: float = WAIT_SECONDS, *, every: float = 0.01) -> None:
    """Wait until `condition()` is true, which is tried again `every` so many seconds.

    Raises AssertionError if it is not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(every)


def sleep_until(unix_seconds: float) -> None:
    time.sleep(max(0.0, unix_seconds - time.time()))


async def wait_until_async(condition: Callable[[], Awaitable[bool]], timeout: float = WAIT_SECONDS) -> None:
    """`wait_until` for an asynchronous condition."""
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        await asyncio.sleep(0.01)
