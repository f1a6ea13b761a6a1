"""Notices that the log lacks records that a store needs, and goes on lacking them: a server may be wrong."""

import asyncio
from collections.abc import Callable

from mq9fast.cluster.log import Bounds, Log, LogError

# Between two looks at the log.
LOOK_SECONDS = 0.5


async def until_lacking(records: Log, lacks: Callable[[Bounds], bool], seconds: float) -> Bounds:
    """Wait until `lacks(...)` is true of the log at each look for so long; returns what the log has then.

    A log that does not answer lacks nothing.
    """
    loop = asyncio.get_running_loop()
    lacks_since = 0.0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            bounds = await records.bounds()
        except LogError:
            lacks_since = 0.0
            continue
        if not lacks(bounds):
            lacks_since = 0.0
        elif not lacks_since:
            lacks_since = loop.time()
        elif loop.time() - lacks_since > seconds:
            return bounds
