"""Notices that the log has lost records that it had acknowledged, or all of them."""

import asyncio
from collections.abc import Callable

from mq9fast.cluster.appender import REGRESSED_SECONDS
from mq9fast.cluster.log import Bounds, Log, LogError, LogRegressed

# Between two looks at the log.
LOOK_SECONDS = 0.5

# Whether a log with these bounds lacks what it has to have, if it once had a record of this number.
Lacks = Callable[[Bounds, int], bool]


async def until_regressed(records: Log, confirmed: Callable[[], int], lacks: Lacks) -> None:
    """Wait until the log has lacked records for REGRESSED_SECONDS. Raises LogRegressed then.

    `confirmed()`: the number of a record that the log has had, 0 for none. A server may be wrong for a
    moment.
    """
    loop = asyncio.get_running_loop()
    lacks_since = 0.0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        # The log may get more records while it is asked.
        had = confirmed()
        try:
            bounds = await records.bounds()
        except LogError:
            lacks_since = 0.0
            continue
        if not had or not lacks(bounds, had):
            lacks_since = 0.0
        elif not lacks_since:
            lacks_since = loop.time()
        elif loop.time() - lacks_since > REGRESSED_SECONDS:
            raise LogRegressed(f"{bounds.describe()}, and it had record {had}")
