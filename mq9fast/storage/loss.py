"""Decides at a start whether the write-ahead log has lost changes, and whether it may have.

A killed process loses nothing that it wrote: the kernel keeps it. A power cut may take whatever was not
synced, in any order, so whole records may follow a damaged place. Any other gap is a loss of acknowledged
changes. `storage/data_directory.py` calls `measure_loss` before RocksDB opens the directory. No function here
touches a file.
"""

from typing import NamedTuple

from mq9fast.storage.broker_state import BrokerState
from mq9fast.storage.write_ahead_log import WriteAheadLog


class Loss(NamedTuple):
    """How many changes are missing from the log.

    `acknowledged`: changes that had to survive. `not_durable`: changes that a power cut was allowed to take,
    or that were never acknowledged. `ids_unknown`: clients may know ids that the store does not know.
    """

    acknowledged: int
    not_durable: int
    ids_unknown: bool


def is_power_cut(state: BrokerState, boot_id: str) -> bool:
    """Whether the operating system has stopped since a broker wrote this state, and that broker had not."""
    return not state.clean and (not boot_id or state.boot_id != boot_id)


def ended_by_power_cut(state: BrokerState | None, boot_id: str) -> bool:
    """Whether the last broker that served a store ended because the operating system stopped; false if
    unknown. `boot_id`: as for `measure_loss`."""
    return state is not None and state.served and is_power_cut(state, boot_id)


def measure_loss(log: WriteAheadLog, state: BrokerState | None, boot_id: str) -> Loss:
    """Compare a log with the state that the last broker saved; None if there is no usable state.

    `boot_id` identifies the current run of the operating system, "" if unknown.
    """
    if state is None:
        lost = max(log.last_after_break - log.last, 0)
        return Loss(lost, 0, ids_unknown=lost > 0)
    power_cut = is_power_cut(state, boot_id)
    written = max(state.acknowledged, log.last_after_break)
    if power_cut:
        needed = state.synced
    elif state.clean or state.sync == "always":
        needed = state.acknowledged
    else:
        # The broker was killed and answered without syncing. The kernel kept everything that was written.
        needed = written
    lost = max(needed - log.last, 0)
    not_durable = 0 if lost else max(written - log.last, 0)
    unsynced = power_cut and state.sync != "always"
    return Loss(lost, not_durable, ids_unknown=lost > 0 or unsynced)


def describe_end(log: WriteAheadLog) -> str:
    """A clause that says where the readable part of the log ends."""
    if log.broken_at is not None:
        return f"the log can be read up to byte {log.broken_at.offset} of {log.broken_at.file}"
    return f"the log ends with {log.files[-1].name}" if log.files else "the log has no file"
