"""How long tests wait for what is to happen, and how."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

# Limits of waiting for what is to happen: far past what a busy machine takes, reached by what is broken only.
START_SECONDS = 120.0
WAIT_SECONDS = 60.0


def wait_until(condition: Any, timeout: float = WAIT_SECONDS) -> None:
    """Wait for `condition()` to become true; AssertionError if it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """What wait_until is for a condition that takes asking."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
