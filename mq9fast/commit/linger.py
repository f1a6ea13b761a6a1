"""Whether a commit group waits a moment for the next messages of clients that were just answered.

Clients that send one message at a time fall into two groups otherwise: while the messages of one are appended
to a replicated log, those of the other gather, and each client waits for two appends. An append costs much
the same for one message as for all of them.
"""

import time

# A group that is larger has messages of clients that do not wait for replies.
MAX_BYTES = 65536
# After a wait in vain, no group is waited for until so many were released.
PAUSE_GROUPS = 16


class Linger:
    """A group waits at most `seconds` after the release of the one before. 0: none waits."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._expected = 0
        self._ends_at = 0.0
        self._has_waited = False
        self._pause = 0

    def note_release(self, replies: int, gathered: int) -> None:
        """A group is released now that answers so many commands; the next one has gathered so many."""
        if self._pause:
            self._pause -= 1
        elif self.seconds and replies:
            self._expected = replies + gathered
            self._ends_at = time.monotonic() + self.seconds
            self._has_waited = False

    def holds(self, gathered: int, size: int) -> bool:
        """Whether a group with so many commands, and so many bytes to write, is to wait for more."""
        if not self._expected:
            return False
        if gathered < self._expected and size <= MAX_BYTES:
            if time.monotonic() < self._ends_at:
                self._has_waited = True
                return True
            if self._has_waited:
                self._pause = PAUSE_GROUPS
        self._expected = 0
        return False
