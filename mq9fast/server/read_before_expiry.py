"""Reads all sockets before any mailbox expires, after a time in which the broker did not run.

The process may have been stopped, or the machine suspended. Renewals that clients sent in time may still wait
in sockets then. They must count before deadlines do. `server/housekeeping.py` calls `ReadBeforeExpiry.begin`
when the engine's clock has jumped; until the sockets are read, the engine lets no deadline pass.
"""

import asyncio

from mq9fast._core.engine import Engine

# The sockets are read after so many turns of the event loop without a read. One turn reads all ready sockets.
# It may not be the first: a turn may begin before sockets are polled, and another passes while a client is
# accepted, or resumed after a full read.
QUIET_TURNS = 4
# A client that never stops sending must not keep mailboxes alive for ever. A turn reads 64 KiB or more of a
# socket, whose buffer in the kernel holds a few MiB.
MAX_TURNS = 64


class ReadBeforeExpiry:
    """Counts turns of the event loop, and lets the engine expire mailboxes again once the sockets are
    read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._running = False

    def begin(self) -> None:
        """Start to count, if that is not running."""
        if not self._running:
            self._running = True
            self._loop.call_soon(self._turn, MAX_TURNS, QUIET_TURNS, self._engine.reads)

    def _turn(self, turns_left: int, quiet_turns_left: int, reads_before: int) -> None:
        if turns_left == 0 or quiet_turns_left == 0:
            self._running = False
            self._engine.resume_expiry()
            return
        reads = self._engine.reads
        quiet_turns_left = quiet_turns_left - 1 if reads == reads_before else QUIET_TURNS
        self._loop.call_soon(self._turn, turns_left - 1, quiet_turns_left, reads)
