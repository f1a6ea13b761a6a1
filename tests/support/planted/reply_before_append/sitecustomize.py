"""A fault that tests plant: an owner replies before the log has what it acknowledges.

Python imports it at the start of each process that has this directory in PYTHONPATH. While the file
PLANTED_HOLD exists, the log gets nothing.
"""

import os
from pathlib import Path

import mq9fast.cluster.log_syncer as log_syncer

HOLD = Path(os.environ.get("PLANTED_HOLD", "no-such-file"))
# As over a slow network: otherwise a kill would hardly ever come between the two.
LATE_SECONDS = 0.05
request = log_syncer.LogSyncer.request


def reply_first(self: log_syncer.LogSyncer, done: log_syncer.Done) -> None:
    self._loop.call_soon(done, None)
    if not HOLD.exists():
        self._loop.call_later(LATE_SECONDS, append, self)


def append(self: log_syncer.LogSyncer) -> None:
    if not HOLD.exists():
        request(self, lambda failure: None)


log_syncer.LogSyncer.request = reply_first  # type: ignore[method-assign]
