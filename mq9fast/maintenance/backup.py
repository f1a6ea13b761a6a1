"""`mq9fast backup` and `mq9fast restore`: verified copies of a data directory, of a running broker too.

Both work on files, so whoever may read the data directory may make a backup, and nobody else: a client of the
broker cannot. `storage/checkpoint.py` says why the copy of a running broker's directory is consistent.
"""

from pathlib import Path
from typing import NamedTuple

from mq9fast.errors import StoreError
from mq9fast.maintenance.check import check_directory
from mq9fast.maintenance.report import Report
from mq9fast.storage.checkpoint import Checkpoint
from mq9fast.storage.directory_checks import REPLICA_FILE

# So many problems are named in an error.
NAMED_PROBLEMS = 3


class Copied(NamedTuple):
    """A verified copy. `linked_bytes`, `copied_bytes`: what it shares with other directories, and its own."""

    report: Report
    linked_bytes: int
    copied_bytes: int


def back_up(data_dir: Path, target: Path, base: Path | None = None) -> Copied:
    """Copy the data directory `data_dir`, which a broker may be using, into the new or empty directory
    `target`, and verify the copy.

    `base`: an earlier backup. Files that are still the same are linked to it. Raises StoreError, and leaves
    nothing in `target`, if anything fails or the copy is not sound.
    """
    if (data_dir / REPLICA_FILE).exists():
        # Its last changes are in the cluster's log only.
        raise StoreError(
            f"{data_dir} is the directory of a node of a cluster, and the other nodes are its copies: for a "
            "data directory of one broker, stop the node and run mq9fast salvage"
        )
    if base is not None and not (base / "CURRENT").is_file():
        raise StoreError(f"{base} is no backup")
    return _copy(Checkpoint(data_dir, base=base, raise_ids=True), target)


def restore(backup: Path, data_dir: Path) -> Copied:
    """Verify a backup and copy it into the new or empty directory `data_dir`, for a broker.

    Nothing is shared with the backup. A broker on the copy gives other msg_ids than the one that the backup
    was made of. Raises StoreError as `back_up` does.
    """
    return _copy(Checkpoint(backup, raise_ids=True, may_link=False), data_dir)


def _copy(checkpoint: Checkpoint, target: Path) -> Copied:
    reports: list[Report] = []

    def verify(work: Path) -> None:
        report = check_directory(work)
        if not report.is_sound:
            found = "; ".join(problem.sentence for problem in report.problems[:NAMED_PROBLEMS])
            more = len(report.problems) - NAMED_PROBLEMS
            raise StoreError(
                f"the copy is not sound: {found}" + (f"; and {more} more problems" if more > 0 else "")
            )
        reports.append(report)

    checkpoint.write(target, verify)
    report = reports[0]
    report.directory = str(target)
    return Copied(report, checkpoint.linked_bytes, checkpoint.copied_bytes)
