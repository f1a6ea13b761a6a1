"""A fault that tests plant: an owner replies before the log has what it acknowledges.

Python imports it at the start of each process that has this directory in PYTHONPATH.
"""

import mq9fast.cluster.log_syncer as log_syncer

request = log_syncer.LogSyncer.request


def reply_first(self: log_syncer.LogSyncer, done: log_syncer.Done) -> None:
    self._loop.call_soon(done, None)
    # Late, as over a slow network: otherwise a kill would hardly ever come between the two.
    self._loop.call_later(0.05, request, self, lambda failure: None)


log_syncer.LogSyncer.request = reply_first  # type: ignore[method-assign]
