"""What is decided about a data directory before RocksDB opens it, without touching a byte.

A directory is new, or holds a whole store of ours; anything else is refused. A log that lost what was
acknowledged is refused as well, unless the operator accepts the loss.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from mq9fast.errors import StartError, StoreError
from mq9fast.storage import directory
from mq9fast.storage.loss import Verdict, judge_deadlines, where
from mq9fast.storage.manifest import read_manifest
from mq9fast.storage.state_file import StateFile
from mq9fast.storage.witness import STATE_FILE, State, Witness, boot_id, read_state
from mq9fast.storage.write_ahead_log import Log, cut_off, read_log, set_aside, sync_directory

log = logging.getLogger("mq9fast.store")

# The first format with a state file.
WITNESSED_FORMAT = 3
ACCEPT = "restore the directory from a backup, or start once with --accept-loss"


class Opening:
    """A data directory that is about to be opened.

    `create`: RocksDB is to make a store in it. `state`: what the last broker noted, if it is known. `lost`:
    how many acknowledged changes are gone, with the operator's consent. `jump`: ids may have been given that
    the store does not know of.
    """

    def __init__(self, path: Path, *, accept_loss: bool) -> None:
        self.path = path
        self.create = False
        self.lost = 0
        self.jump = False
        self.state: State | None = None
        self.file: StateFile | None = None
        self._accept_loss = accept_loss
        self._log: Log | None = None
        self._keep = False

    def examine(self, format_of: Callable[[Path], int | None]) -> None:
        """Decide, and change nothing. Raises StartError for what is not to be opened, OSError.

        `format_of` tells the format of a store of ours without changing it, and None for any other.
        """
        path = self.path
        names = directory.names_in(path)
        self._claim()
        if "CURRENT" not in names:
            directory.check_that_new(path, names, self.state)
            self.create = True
            return
        if self.state is None:
            self._check_unwitnessed(format_of(path))
        manifest = read_manifest(path)
        directory.check_files(path, names, manifest)
        if self.state is None or self.state.made:
            directory.check_owner(path, manifest, self.state)
            found = read_log(path, manifest)
            self._act_on(judge_deadlines(found, self.state, boot_id()), found)

    def prepare(self) -> None:
        """Have the directory ready for RocksDB. Raises StartError, OSError, StoreError."""
        if self.file is None:
            self.file = StateFile(self.path / STATE_FILE)
            directory.lock(self.file.descriptor, self.path)
        if self.create:
            Witness(self.file, State()).begin()
            sync_directory(self.path)
        if self.state is not None and (self.lost or self._keep):
            # RocksDB may give the numbers of files that are gone to others.
            self.state.durable_marks = {}
            Witness(self.file, self.state).begin()
        if self._log is not None and not self._keep:
            cut_off(self.path, self._log)
        elif self._log is not None:
            place = _unused(self.path)
            set_aside(self.path, self._log, place)
            log.warning("the log from where it breaks off is kept in %s", place)

    def close(self) -> None:
        """Let go of the directory."""
        if self.file is not None:
            self.file.close()

    def _claim(self) -> None:
        directory.look_at_lock(self.path)
        if not (self.path / STATE_FILE).exists():
            return
        try:
            self.file = StateFile(self.path / STATE_FILE)
            directory.lock(self.file.descriptor, self.path)
            self.state = read_state(self.file)
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                # What it says may be there again.
                raise StartError(f"the data directory {self.path} cannot be used: {error}") from error
            log.error("%s", error)

    def _check_unwitnessed(self, version: int | None) -> None:
        """A store without a usable state file is of an older format, or its witness is gone."""
        if version is None:
            raise StartError(f"the data directory {self.path} holds a RocksDB that is not mq9fast's")
        if version < WITNESSED_FORMAT:
            return
        if not self._accept_loss:
            raise StartError(
                f"{STATE_FILE} in the data directory {self.path} is missing or damaged, so that nobody knows "
                f"whether acknowledged messages are lost: {ACCEPT}"
            )
        log.error("%s was missing or damaged: acknowledged messages may be lost", STATE_FILE)
        self.jump = True

    def _act_on(self, verdict: Verdict, found: Log) -> None:
        if verdict.lost and not self._accept_loss:
            raise StartError(
                f"the data directory {self.path} has lost at least {verdict.lost} acknowledged changes: "
                f"its log breaks off {where(found)}; {ACCEPT}, which goes on with what was before"
            )
        self.lost = verdict.lost
        self.jump = self.jump or verdict.ids_unknown
        if found.broken is not None:
            self._log, self._keep = found, bool(verdict.lost or found.behind)
        if verdict.lost:
            log.error("%d acknowledged changes are lost: the log breaks off %s", verdict.lost, where(found))
        elif verdict.taken:
            log.warning(
                "%d changes that were not durable are lost: the log ends %s", verdict.taken, where(found)
            )
        elif self._accept_loss and not self.jump:
            log.warning("accept_loss is set, and nothing is lost: take it away again")


def examine_again(path: Path, least: int) -> None:
    """Have the log of a store that is about to be opened again end where it breaks off.

    Raises StoreError if something up to the sequence number `least` is missing, and changes nothing then;
    StartError, OSError.
    """
    found = read_log(path, read_manifest(path))
    if found.last < least:
        missing = least - found.last
        raise StoreError(f"it lacks {missing} acknowledged changes: the broker has to be started again")
    cut_off(path, found)


def _unused(path: Path) -> Path:
    """A name for what is set aside."""
    number = 1
    while (path / f"lost-{number}").exists():
        number += 1
    return path / f"lost-{number}"
