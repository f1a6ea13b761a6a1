"""Ends tasks for sure."""

import asyncio
from typing import Any

# A task that has not ended by then is cancelled again.
AGAIN_SECONDS = 1.0


async def end_tasks(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks, and wait until they have ended, whatever they raise.

    Once is not enough: before Python 3.12, `asyncio.wait_for` swallows a cancellation that comes together
    with what it waits for.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()
