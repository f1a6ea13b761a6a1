"""After a gap in which the broker did not run, sockets are read before any deadline passes.

The process may have been stopped, or the machine suspended. A client that renewed its mailbox in time must
not lose it because the broker looks at its clock before it looks at its sockets.
"""

import asyncio

from mq9fast._core.engine import Engine

# Rounds of the event loop, each of which reads from all sockets that have something. A round may begin before
# the sockets are looked at, and another goes by while a client is accepted, or let go on after a full read.
QUIET_ROUNDS = 4
# A client that sends without end does not keep mailboxes alive. One read takes 64 KiB or more of what waits
# in a socket, where the system keeps a few MiB.
MAX_ROUNDS = 64


class ReadFirst:
    """Has a core judge deadlines again once the sockets are read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._under_way = False

    def begin(self) -> None:
        """Begin reading, unless that is under way."""
        if not self._under_way:
            self._under_way = True
            self._loop.call_soon(self._round, MAX_ROUNDS, QUIET_ROUNDS, self._engine.reads)

    def _round(self, most: int, quiet: int, reads: int) -> None:
        """One of `most` rounds, of which `quiet` without a read are enough; there were `reads` before it."""
        if most == 0 or quiet == 0:
            self._under_way = False
            self._engine.judge_deadlines()
            return
        now = self._engine.reads
        self._loop.call_soon(self._round, most - 1, quiet - 1 if now == reads else QUIET_ROUNDS, now)
