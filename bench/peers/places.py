"""Gives the processes of a benchmark their places on a machine that has fewer cores than they need."""

import contextlib
import os
from pathlib import Path

from bench.peers.process import family

# Real-time priorities: the process that has the higher one runs at once.
SERVER, WAITING_CLIENT = 1, 2


def prefer(pid: int, priority: int) -> bool:
    """Let a process, its threads and its children run before all others. False if the system forbids it.

    Beside clients that send as fast as they can, a server waits for a core for some milliseconds at a time,
    and so does a client that waits for one reply. On machines of their own they would not.
    """
    try:
        for each in family(pid):
            for thread in Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(priority))
    except PermissionError:
        return False
    return True


def leave_preferred() -> None:
    """Let this process, after `prefer`, run as others do."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
