"""Decides whether a data directory may be opened, and prepares it, before RocksDB touches it.

A directory is accepted if it is new or holds a complete store of mq9fast. A log that has lost acknowledged
changes is refused too, unless the operator accepts the loss. `RocksStore` calls `DataDirectory.examine`,
which changes nothing, and then `DataDirectory.prepare`; it calls `prepare_reopen` before it opens a failed
store again.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from mq9fast._core.storage.value_reader import ValueReader
from mq9fast.errors import StartError, StoreError
from mq9fast.storage import directory_checks as checks
from mq9fast.storage.broker_state import STATE_FILE, BrokerState, StateWriter, boot_id, read_state
from mq9fast.storage.layout import not_mq9fast
from mq9fast.storage.loss import Loss, describe_end, ended_by_power_cut, is_power_cut, measure_loss
from mq9fast.storage.manifest import Manifest, read_manifest
from mq9fast.storage.manifest_end import check_end, cut_damaged_end
from mq9fast.storage.state_file import StateFile
from mq9fast.storage.write_ahead_log import (
    WriteAheadLog,
    move_broken_part,
    read_log,
    sync_directory,
    truncate_at_break,
)

log = logging.getLogger("mq9fast.store")

FIRST_FORMAT_WITH_STATE = 3
ADVICE = "restore the directory from a backup, or start once with --accept-loss"


class DataDirectory:
    """A data directory that is about to be opened.

    `create`: RocksDB has to create a store in it. `state`: what the last broker saved, None if unknown.
    `lost`: the number of acknowledged changes that are gone; the operator accepted that. `new_id_epoch`: the
    start has to raise the id epoch, because clients may know ids that the store does not know. `file`: the
    locked state file. `unsynced_tables`: there may be tables with pointers to lost values.
    """

    def __init__(self, path: Path, *, accept_loss: bool) -> None:
        self.path = path
        self.create = False
        self.lost = 0
        self.new_id_epoch = False
        self.unsynced_tables = False
        self.state: BrokerState | None = None
        self.file: StateFile | None = None
        self._accept_loss = accept_loss
        self._manifest: Manifest | None = None
        self._broken_log: WriteAheadLog | None = None
        self._keep_broken_part = False

    def examine(self, read_format_version: Callable[[Path], int | None], values: ValueReader) -> None:
        """Decide, and change no file. Raises StartError if the directory must not be opened, and OSError.

        `read_format_version` returns the format of an mq9fast store, None for any other database. It changes
        no file. `values` reads the value log: after a power cut the log is broken where a value is lost.
        """
        path = self.path
        names = checks.file_names(path)
        checks.check_not_replica(path, names)
        self._lock()
        if "CURRENT" not in names:
            checks.check_new(path, names, self.state)
            self.create = True
            return
        if self.state is None:
            self._check_without_state(read_format_version(path))
        after_cut = ended_by_power_cut(self.state, boot_id())
        manifest = self._manifest = read_manifest(path, after_power_cut=after_cut)
        checks.check_files(path, names, manifest)
        if self.state is None or self.state.served:
            checks.check_same_store(path, manifest, self.state)
            synced = self.state.synced if self.state is not None else 0
            check_values = self.state is None or may_have_lost_values(self.state)
            self.unsynced_tables = check_values and manifest.flushed > synced
            found = read_log(path, manifest, values.is_readable if check_values else None, synced)
            loss = measure_loss(found, self.state, boot_id())
            check_end(path, manifest, found, loss)
            self._judge(loss, found)

    def prepare(self) -> None:
        """Make the directory ready for RocksDB. Raises StartError, OSError or StoreError."""
        if self.file is None:
            self.file = StateFile(self.path / STATE_FILE)
            checks.lock(self.file.descriptor, self.path)
        if self.create:
            StateWriter(self.file, BrokerState()).begin()
            sync_directory(self.path)
        if self.state is not None and (self.lost or self._keep_broken_part):
            # RocksDB may reuse the numbers of log files that are gone.
            self.state.log_checksums = {}
            StateWriter(self.file, self.state).begin()
        if self._manifest is not None and self._manifest.damaged_from is not None:
            target = _unused_name(self.path)
            cut_damaged_end(self.path, self._manifest, target)
            log.warning(
                "a power cut damaged the end of %s, which was not durable: it was cut off, a copy is in %s",
                self._manifest.name, target,
            )  # fmt: skip
        if self._broken_log is not None and not self._keep_broken_part:
            truncate_at_break(self.path, self._broken_log)
        elif self._broken_log is not None:
            target = _unused_name(self.path)
            move_broken_part(self.path, self._broken_log, target)
            log.warning("the unreadable end of the log was moved to %s", target)

    @property
    def was_clean(self) -> bool:
        """Whether the last broker stopped after it had synced everything, or there was none."""
        return self.create or (self.state is not None and self.state.clean)

    def close(self) -> None:
        """Close the state file, which releases its lock."""
        if self.file is not None:
            self.file.close()

    def _lock(self) -> None:
        checks.check_rocksdb_lock(self.path)
        if not (self.path / STATE_FILE).exists():
            return
        try:
            self.file = StateFile(self.path / STATE_FILE)
            checks.lock(self.file.descriptor, self.path)
            self.state = read_state(self.file)
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                # The file may be readable again later: do not treat it as damaged.
                raise StartError(f"the data directory {self.path} cannot be used: {error}") from error
            log.error("%s", error)

    def _check_without_state(self, version: int | None) -> None:
        """Check a store that has no usable state file: its format is older, or the file was lost."""
        if version is None:
            raise not_mq9fast(self.path)
        if version < FIRST_FORMAT_WITH_STATE:
            return
        if not self._accept_loss:
            raise StartError(
                f"{STATE_FILE} in the data directory {self.path} is missing or damaged, "
                f"so acknowledged messages may be lost: {ADVICE}"
            )
        log.error("%s was missing or damaged: acknowledged messages may be lost", self.path / STATE_FILE)
        self.new_id_epoch = True

    def _judge(self, loss: Loss, found: WriteAheadLog) -> None:
        end = describe_end(found)
        if loss.acknowledged and not self._accept_loss:
            raise StartError(
                f"the data directory {self.path} has lost at least {loss.acknowledged} acknowledged changes "
                f"({end}): {ADVICE}, which keeps everything before that point"
            )
        self.lost = loss.acknowledged
        self.new_id_epoch = self.new_id_epoch or loss.ids_unknown
        if found.broken_at is not None:
            self._broken_log = found
            self._keep_broken_part = bool(loss.acknowledged or found.last_after_break)
        if loss.acknowledged:
            log.error("%d acknowledged changes are lost: %s", loss.acknowledged, end)
        elif loss.not_durable:
            log.warning("%d changes that were not durable are lost: %s", loss.not_durable, end)
        elif self._accept_loss and not self.new_id_epoch:
            log.warning("accept_loss is set, but nothing is lost: remove the setting")


def prepare_reopen(
    path: Path, min_sequence: int, is_readable: Callable[[bytes], bool] | None = None, synced: int = 0
) -> None:
    """Truncate the log of a store that is about to be reopened at its break, if it has one.

    `is_readable`, `synced`: as for `read_log`, to break the log where a value is lost.

    Raises StoreError, and changes nothing, if a change up to the sequence number `min_sequence` is missing.
    Raises StartError or OSError as well.
    """
    found = read_log(path, read_manifest(path), is_readable, synced)
    if found.last < min_sequence:
        raise missing_changes(path, min_sequence - found.last)
    truncate_at_break(path, found)


def missing_changes(path: Path, count: int) -> StoreError:
    """The StoreError for a store that must not be reopened, because acknowledged changes are missing."""
    return StoreError(f"the data directory {path} has lost {count} acknowledged changes: restart the broker")


def may_have_lost_values(state: BrokerState) -> bool:
    """Whether values that were not synced may be lost, although nothing that was acknowledged is.

    A failed fsync may lose values as a power cut does. Under `always`, nothing after it was acknowledged.
    """
    return is_power_cut(state, boot_id()) or (not state.clean and state.sync == "always")


def _unused_name(path: Path) -> Path:
    """A new name in `path` for the directory that takes the broken part of a log or of the MANIFEST."""
    number = 1
    while (path / f"lost-{number}").exists():
        number += 1
    return path / f"lost-{number}"
