"""Copies the store of a data directory at one moment, while a broker may be serving it.

The copy is made of files alone. It needs nothing of the broker and changes nothing in its directory, so a
command in another process can make it, too. It works because of what RocksDB and the value log promise:

- Tables and complete segments never change. They are hard-linked, or copied where that is impossible.
- The MANIFEST, the log and the newest segment only grow: any first part of them is a state that was there.
- A value is in its segment before its row is in the log, and a row is in the log before anybody is told. So
  the state file is read first, then the MANIFEST, the log, and the newest segment last.
- Files are deleted only after the MANIFEST, or a row, has said that they are not needed. So if one of them
  has gone before it was linked, the next attempt reads the newer MANIFEST.
"""

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mq9fast._core.storage.value_reader import ValueReader
from mq9fast.errors import StartError, StoreError, bad_file_error
from mq9fast.storage.broker_state import STATE_FILE, BrokerState, StateWriter, boot_id, load_state
from mq9fast.storage.layout import MAX_ID_EPOCH
from mq9fast.storage.loss import Loss, ended_by_power_cut, measure_loss
from mq9fast.storage.manifest import Manifest, manifest_content, parse_manifest
from mq9fast.storage.manifest_end import check_end
from mq9fast.storage.new_directory import NewDirectory
from mq9fast.storage.segment import open_for_reading, segment_name, segment_sizes
from mq9fast.storage.state_file import CLOCK_FILE, StateFile, read_record, write_record
from mq9fast.storage.write_ahead_log import WriteAheadLog, log_name, log_numbers, read_log, truncate_at_break

# A file that has gone may have been deleted because a newer one replaces it. After so many attempts, it is
# missing.
ATTEMPTS = 20
RETRY_SECONDS = 0.02
COPY_BYTES = 1 << 20
# So many segments are open at a time while values are read.
MAX_OPEN = 64
_COPIED = re.compile(r"IDENTITY|OPTIONS-\d+|rocksdict-config\.json")


class _ChangedError(Exception):
    """The store went on while it was copied: the next attempt may be in time."""


class Checkpoint:
    """Makes one copy of the store in `source`. Its methods block; any thread may call them.

    `base`: an earlier copy. A file that has the same content there is linked to it instead of copied, where
    the copy cannot be linked to `source`. `raise_ids`: ids that the copy gives are above those that `source`
    goes on to give. `may_link`: whether files may be linked to those in `source`. `linked_bytes`,
    `copied_bytes`: how much the copy shares with others, and its own.
    """

    def __init__(
        self, source: Path, *, base: Path | None = None, raise_ids: bool = False, may_link: bool = True
    ) -> None:
        self._source = source
        self._may_link = may_link
        self._base = base
        self._raise_ids = raise_ids
        self._placed: dict[str, bool] = {}  # whether the file is linked, by name
        self._segments: list[int] = []
        self.linked_bytes = 0
        self.copied_bytes = 0

    def write(self, target: Path, verify: Callable[[Path], None] | None = None) -> None:
        """Write the copy into the new or empty directory `target`.

        Raises StoreError, and leaves nothing of it, if anything fails. `verify`: called with the directory
        of the finished copy before it is in place; raises StoreError.
        """
        if target.absolute().is_relative_to(self._source.absolute()):
            raise StoreError(f"{target} is in the data directory itself: give another place")
        with NewDirectory(target) as work:
            self._write_into(work)
            if verify is not None:
                verify(work)
            for name in self._placed:
                size = (work / name).stat().st_size
                if self._placed[name]:
                    self.linked_bytes += size
                else:
                    self.copied_bytes += size

    def _write_into(self, work: Path) -> None:
        for attempt in range(ATTEMPTS):
            try:
                self._try(work)
            except (_ChangedError, FileNotFoundError, StartError) as error:
                # StartError: the MANIFEST was replaced after CURRENT was read; or it is damaged.
                if attempt == ATTEMPTS - 1:
                    raise StoreError(_clause(error)) from error
                time.sleep(RETRY_SECONDS)
            else:
                return

    def _try(self, work: Path) -> None:
        newest = self._place_complete_segments(work)
        state = load_state(self._source / STATE_FILE)
        after_cut = ended_by_power_cut(state, boot_id())
        manifest, content = self._read_manifest(after_cut)
        if manifest.damaged_from is not None:
            check_end(self._source, manifest, *_read_log_after_cut(self._source, manifest, state))
        with self._open_logs(manifest) as logs:
            if self._read_manifest(after_cut)[0].first_log != manifest.first_log:
                raise _ChangedError("the log goes on faster than it can be copied")
            for number, size in manifest.tables.items():
                self._place_table(work, f"{number:06d}.sst", size)
            self._copy_logs(work, logs)
        self._place_all_segments(work, newest)
        for name in self._placed.keys() - _names_of(manifest, logs, self._segments):
            (work / name).unlink()
            del self._placed[name]
        self._write_manifest(work, manifest, content)
        self._write_state(work, manifest, state)

    def _read_manifest(self, after_cut: bool) -> tuple[Manifest, bytes]:
        name, content = manifest_content(self._source)
        manifest, end = parse_manifest(self._source, name, content, after_power_cut=after_cut)
        return manifest, content[:end]

    # Files that never change.

    def _place_table(self, work: Path, name: str, size: int) -> None:
        self._place(work, name)
        found = (work / name).stat().st_size
        if found != size:
            raise _Damaged(self._source, name, f"has {found} bytes instead of {size}")

    def _place_complete_segments(self, work: Path) -> int:
        """Place all segments but the newest one. Returns the newest one's number, 0 if there is none."""
        self._segments = list(segment_sizes(self._source))
        for number in self._segments[:-1]:
            self._place(work, segment_name(number))
        return self._segments[-1] if self._segments else 0

    def _place_all_segments(self, work: Path, known: int) -> None:
        """Place the segments that are complete by now, and copy the newest one as far as it goes.

        `known`: the newest one's number before the log was read. Numbers are consecutive: if one is not
        there, the segment was deleted, and rows of the copy may need it.
        """
        newest = self._place_complete_segments(work)
        if not set(range(max(known, 1), newest + 1)).issubset(self._segments):
            raise _ChangedError("the value log is cleaned faster than it can be copied")
        if newest:
            self._copy(segment_name(newest), work / segment_name(newest))

    def _place(self, work: Path, name: str) -> None:
        """Link a file that never changes, or copy it."""
        if name in self._placed:
            return
        source, target = self._source / name, work / name
        target.unlink(missing_ok=True)
        try:
            if not self._may_link:
                raise OSError(errno.EXDEV, "files may not be linked")
            target.hardlink_to(source)
            self._placed[name] = True
        except FileNotFoundError:
            raise
        except OSError:
            # Another file system, or one without links.
            self._placed[name] = self._link_to_base(source, target)
            if not self._placed[name]:
                self._copy(name, target)

    def _link_to_base(self, source: Path, target: Path) -> bool:
        if self._base is None:
            return False
        # Imported late, because a start must be quick.
        import filecmp

        try:
            if not filecmp.cmp(source, self._base / target.name, shallow=False):
                return False
            target.hardlink_to(self._base / target.name)
        except OSError:
            return False
        return True

    # Files that grow.

    def _copy(self, name: str, target: Path) -> None:
        with (self._source / name).open("rb") as file:
            self._placed.pop(name, None)
            _copy_open(file.fileno(), target)
        self._placed[name] = False

    @contextlib.contextmanager
    def _open_logs(self, manifest: Manifest) -> Iterator[dict[str, int]]:
        """The descriptors of the log's files by name: an open file stays readable when it is deleted."""
        opened: dict[str, int] = {}
        try:
            for number in log_numbers(self._source):
                if number >= manifest.first_log:
                    name = log_name(number)
                    opened[name] = os.open(self._source / name, os.O_RDONLY | os.O_CLOEXEC)
            yield opened
        finally:
            for descriptor in opened.values():
                os.close(descriptor)

    def _copy_logs(self, work: Path, logs: dict[str, int]) -> None:
        for name, descriptor in logs.items():
            _copy_open(descriptor, work / name)
            self._placed[name] = False

    # What makes it a store.

    def _write_manifest(self, work: Path, manifest: Manifest, content: bytes) -> None:
        for file in work.glob("MANIFEST-*"):
            file.unlink()
        (work / manifest.name).write_bytes(content)
        for file in self._source.iterdir():
            if _COPIED.fullmatch(file.name):
                (work / file.name).write_bytes(file.read_bytes())
        clock = self._source / CLOCK_FILE
        if clock.exists() and (saved := read_record(clock)[0]) is not None:
            write_record(work / CLOCK_FILE, saved)
        (work / "CURRENT").write_bytes(f"{manifest.name}\n".encode())

    def _write_state(self, work: Path, manifest: Manifest, state: BrokerState | None) -> None:
        """Cut the log where it ends, and write a state that promises exactly what the copy has."""
        if state is None:
            return  # of a format that had none, or lost: a start decides
        if ended_by_power_cut(state, boot_id()):
            found, loss = _read_log_after_cut(work, manifest, state)
            is_damaged = loss.acknowledged > 0
        else:
            found = read_log(work, manifest)
            is_damaged = found.last < state.acknowledged or found.last_after_break > found.last
        if is_damaged:
            raise _Damaged(self._source, "the log", "is damaged")
        truncate_at_break(work, found)
        state.clean, state.store_id = True, manifest.store_id
        state.acknowledged = state.synced = found.last
        if self._raise_ids:
            state.id_epoch = min(state.id_epoch + 1, MAX_ID_EPOCH)
        (work / STATE_FILE).unlink(missing_ok=True)
        file = StateFile(work / STATE_FILE)
        try:
            writer = StateWriter(file, state)
            writer.read_log_files(work)
            writer.begin()
        finally:
            file.close()


class _Damaged(StoreError):  # noqa: N818
    """A file of the store is damaged: another attempt does not help."""

    def __init__(self, path: Path, name: str, what: str) -> None:
        super().__init__(
            f"{name} in the data directory {path} {what}: run mq9fast check, and if it is damaged, salvage"
        )


def _read_log_after_cut(
    path: Path, manifest: Manifest, state: BrokerState | None
) -> tuple[WriteAheadLog, Loss]:
    """Read the log in `path` as a start after a power cut does: up to the first batch with a lost value."""
    values = ValueReader(lambda number: open_for_reading(path / segment_name(number), number), MAX_OPEN)
    with contextlib.closing(values):
        found = read_log(path, manifest, values.is_readable, state.synced if state is not None else 0)
    return found, measure_loss(found, state, boot_id())


def _names_of(manifest: Manifest, logs: dict[str, int], segments: list[int]) -> set[str]:
    tables = {f"{number:06d}.sst" for number in manifest.tables}
    return tables | logs.keys() | set(map(segment_name, segments))


def _copy_open(descriptor: int, target: Path) -> None:
    """Copy an open file up to the end that it has now."""
    left, at = os.fstat(descriptor).st_size, 0
    with target.open("wb") as copy:
        while left and (data := os.pread(descriptor, min(left, COPY_BYTES), at)):
            copy.write(data)
            at, left = at + len(data), left - len(data)


def _clause(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename:
        missing = Path(error.filename)
        return str(bad_file_error(missing.parent, missing.name, "is missing"))
    return str(error)


def checkpoint(source: Path, target: Path) -> None:
    """Copy the store in `source`, which a broker may be serving, into the new or empty directory `target`.

    Nothing that was acknowledged before the call is missing. Raises StoreError, and leaves nothing in
    `target`, if anything fails.
    """
    Checkpoint(source).write(target)
