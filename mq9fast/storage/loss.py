"""What is missing from the log of a store, and whether it may be.

A kill takes nothing that was written: the system has it. A power cut takes what was not synced, in any order,
so that whole records may lie behind a bad place. Anything more is a loss of what was acknowledged.
"""

from typing import NamedTuple

from mq9fast.storage.witness import State
from mq9fast.storage.write_ahead_log import Log


class Verdict(NamedTuple):
    """How many changes are missing. `lost`: they were acknowledged, and had to survive. `taken`: they had not
    to, or were not acknowledged. `ids_unknown`: ids may have been given that the store does not know of.
    """

    lost: int
    taken: int
    ids_unknown: bool


def judge_deadlines(log: Log, state: State | None, boot_id: str) -> Verdict:
    """Compare a log with what the last broker noted, None if that is unknown. `boot_id` is the system's."""
    if state is None:
        lost = max(log.behind - log.last, 0)
        return Verdict(lost, 0, ids_unknown=lost > 0)
    power_cut = not state.clean and (not boot_id or state.boot_id != boot_id)
    written = max(state.acknowledged, log.behind)
    if power_cut:
        needed = state.synced
    elif state.clean or state.sync == "always":
        needed = state.acknowledged
    else:
        # It is noted a few times a second only what was written, and acknowledged.
        needed = written
    lost = max(needed - log.last, 0)
    taken = 0 if lost else max(written - log.last, 0)
    unsynced = power_cut and state.sync != "always"
    return Verdict(lost, taken, ids_unknown=lost > 0 or unsynced)


def where(log: Log) -> str:
    """The place where the log breaks off, for a sentence."""
    if log.broken is not None:
        return f"at byte {log.broken.offset} of {log.broken.file}"
    return f"at the end of {log.files[-1].name}" if log.files else "where it should begin"
