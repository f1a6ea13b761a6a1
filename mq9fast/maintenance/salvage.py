"""`mq9fast salvage`: copies all that can be read of a damaged data directory into a new one.

Nothing is changed in the damaged directory. The rows that can be read are written to a new store. The counts
in mailbox records are then those of the rows that are there, and new ids are above all that clients know.
"""

from pathlib import Path

import msgspec

from mq9fast.errors import StartError, StoreError
from mq9fast.maintenance.damaged_store import open_damaged
from mq9fast.maintenance.report import Holding, Problem
from mq9fast.maintenance.row_copy import RowCopy
from mq9fast.maintenance.segment_files import SegmentFiles
from mq9fast.maintenance.unused import unused
from mq9fast.storage import layout
from mq9fast.storage.broker_state import STATE_FILE, BrokerState, boot_id, load_state
from mq9fast.storage.loss import describe_end, measure_loss
from mq9fast.storage.manifest import read_manifest
from mq9fast.storage.new_directory import NewDirectory
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.state_file import CLOCK_FILE, read_record, write_record
from mq9fast.storage.write_ahead_log import read_log


class Salvaged(msgspec.Struct):
    """What a salvage has copied, and what it has not.

    `damage`: files, rows and values that cannot be read. `lost`: how many messages each mailbox has lost by
    its own count. A record that is lost itself counts nothing.
    """

    directory: str
    target: str
    holds: Holding
    damage: list[Problem]
    lost: list[Problem]


def salvage(source: Path, target: Path) -> Salvaged:
    """Copy what can be read of the data directory `source` into the new or empty directory `target`.

    Raises StoreError, and leaves nothing in `target`, if `target` cannot be written, if a broker uses
    `source`, or if nothing of it can be read.
    """
    if target.absolute().is_relative_to(source.absolute()):
        raise StoreError(f"{target} is in the data directory itself: give another place")
    with unused(source), NewDirectory(target) as work:
        damage: list[Problem] = []
        state = _read_state(source, damage)
        _measure_log(source, state, damage)
        with open_damaged(source, damage) as reader:
            segments = SegmentFiles(source)
            store = RocksStore(work)
            try:
                layout.check_format(store, work)
                copy = RowCopy(reader, segments.reader, store, damage)
                copy.begin(state or BrokerState())
                copy.run()
                if copy.holds.mailboxes == 0 and damage:
                    raise StoreError(f"nothing in {source} can be read: {damage[0].sentence}")
            finally:
                segments.reader.close()
                store.close()
        _copy_clock(source, work, damage)
    return Salvaged(str(source), str(target), copy.holds, damage, copy.lost)


def _read_state(source: Path, damage: list[Problem]) -> BrokerState | None:
    try:
        return load_state(source / STATE_FILE)
    except StoreError as error:
        damage.append(Problem(str(error), STATE_FILE, loses=False))
        return None


def _measure_log(source: Path, state: BrokerState | None, damage: list[Problem]) -> None:
    """Say how much of the log is lost. Nobody can say of which messages."""
    try:
        log = read_log(source, read_manifest(source))
    except (StartError, FileNotFoundError):
        return  # without a MANIFEST, `open_damaged` has more to say
    loss = measure_loss(log, state, boot_id())
    if loss.acknowledged:
        reason = f"at least {loss.acknowledged} acknowledged changes are lost: {describe_end(log)}"
        damage.append(Problem(reason, "the log"))


def _copy_clock(source: Path, work: Path, damage: list[Problem]) -> None:
    """Copy the saved time. Without it a broker goes on from the newest time in the store."""
    try:
        saved, _ = read_record(source / CLOCK_FILE)
        if saved is not None:
            write_record(work / CLOCK_FILE, saved)
    except FileNotFoundError:
        pass
    except StoreError as error:
        damage.append(Problem(str(error), CLOCK_FILE, loses=False))
