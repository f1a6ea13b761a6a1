"""Gives the processes of a benchmark their places on a machine that has fewer cores than they need."""

import contextlib
import os
from pathlib import Path

# Real-time priorities: the process that has the higher one runs at once.
OTHER_CLIENTS, SERVER, WAITING_CLIENT, KERNEL = 1, 2, 3, 4
# What the names of those threads of the kernel begin with that write to the disk and pass on packets.
KERNEL_THREADS = ("jbd2/", "kworker/", "ksoftirqd/")


def prefer(pid: int, priority: int) -> bool:
    """Let a process with its threads run before all others. False if the system forbids it.

    Beside clients that send as fast as they can, a server waits for a core for some milliseconds at a time,
    and so does a client that waits for one reply. On machines of their own they would not.
    """
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(priority))
    except PermissionError:
        return False
    return True


def prefer_kernel() -> None:
    """Let the kernel write to the disk beside processes in real time.

    Otherwise its threads wait until the system takes the core from these, once a second, and an fsync takes a
    second. The kernel starts new threads at any time: call this once a second.
    """
    schedule_kernel(os.SCHED_OTHER, os.SCHED_RR, KERNEL)


def leave_preferred() -> None:
    """Let this process and the kernel, after `prefer` and `prefer_kernel`, run as others do."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    schedule_kernel(os.SCHED_RR, os.SCHED_OTHER, 0)


def schedule_kernel(policy: int, wanted: int, priority: int) -> None:
    """Give another policy to those of the KERNEL_THREADS that have this one, if the system allows it."""
    for process in Path("/proc").glob("[0-9]*"):
        thread = int(process.name)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if not (process / "comm").read_text().startswith(KERNEL_THREADS):
                continue
            if os.sched_getscheduler(thread) == policy:
                os.sched_setscheduler(thread, wanted, os.sched_param(priority))
