"""`mq9fast check`: reads everything in a data directory, and says what it holds and what is wrong.

Reads only. `check_directory` looks at the files in the order in which a start does, and then at every row.
"""

import contextlib
from pathlib import Path

from mq9fast._core.storage.record import CorruptRecord
from mq9fast.errors import StartError, StoreError
from mq9fast.maintenance.damaged_store import leave_out_tables
from mq9fast.maintenance.report import Problem, Report
from mq9fast.maintenance.row_check import RowCheck
from mq9fast.maintenance.segment_files import SegmentFiles
from mq9fast.maintenance.unused import unused
from mq9fast.storage import directory_checks as checks
from mq9fast.storage.broker_state import STATE_FILE, BrokerState, boot_id, load_state
from mq9fast.storage.data_directory import FIRST_FORMAT_WITH_STATE, may_have_lost_values
from mq9fast.storage.directory_checks import REPLICA_FILE
from mq9fast.storage.loss import describe_end, ended_by_power_cut, is_power_cut, measure_loss
from mq9fast.storage.manifest import Manifest, manifest_content, parse_manifest
from mq9fast.storage.manifest_end import check_end
from mq9fast.storage.read_only import ReadOnlyStore
from mq9fast.storage.rocks_database import links_to
from mq9fast.storage.segment import segment_name
from mq9fast.storage.write_ahead_log import WriteAheadLog, read_log


def check_directory(path: Path) -> Report:
    """Read all of the data directory `path`, and change nothing in it.

    Raises StoreError if it holds no store, if a broker uses it, or if a file cannot be read at all.
    """
    with unused(path):
        try:
            check = _Check(path)
            with contextlib.closing(check.segments.reader):
                return check.run()
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            raise StoreError(f"{path} cannot be read: {error.strerror or error}{where}") from error


class _Check:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = checks.file_names(path)
        self._report = Report(str(path))
        self.segments = SegmentFiles(path)

    def _problem(self, error: Exception | str, file: str = "", **about: object) -> None:
        text = str(error)
        self._report.problems.append(Problem(text, file, **about))  # type: ignore[arg-type]

    def run(self) -> Report:
        """Check everything."""
        report = self._report
        state = self._read_state()
        if not {"CURRENT", STATE_FILE} & set(self._names) and not any(
            name.startswith("MANIFEST-") or name.endswith(".sst") for name in self._names
        ):
            raise StoreError(f"{self._path} holds no store")
        report.segments = len(self.segments.sizes)
        report.segment_bytes = sum(self.segments.sizes.values())
        try:
            name, content = manifest_content(self._path)
            after_cut = ended_by_power_cut(state, boot_id())
            manifest, end = parse_manifest(self._path, name, content, after_power_cut=after_cut)
        except StartError as error:
            self._problem(error)
            return report
        except FileNotFoundError:
            self._problem("is missing", "CURRENT")
            return report
        try:
            log = self._check_log(manifest, state)
        except StartError as error:
            self._problem(error)
            return report
        report.tables, report.table_bytes = len(manifest.tables), sum(manifest.tables.values())
        with links_to(self._path) as links:
            leave_out_tables(links, self._path, manifest, content[:end], report.problems)
            self._end_log(links, log)
            self._check_rows(links)
        needs_state = (report.format or 0) >= FIRST_FORMAT_WITH_STATE and REPLICA_FILE not in self._names
        if state is None and STATE_FILE not in self._names and needs_state:
            self._problem("is missing", STATE_FILE)
        return report

    def _read_state(self) -> BrokerState | None:
        report = self._report
        try:
            state = load_state(self._path / STATE_FILE)
        except StoreError as error:
            self._problem(error, STATE_FILE)
            return None
        if state is not None and state.served:
            report.sync = state.sync
            cut = is_power_cut(state, boot_id())
            report.ended = "stopped" if state.clean else "power cut" if cut else "killed"
        return state

    def _check_log(self, manifest: Manifest, state: BrokerState | None) -> WriteAheadLog:
        """Check what a start would find in the log, and drop from it.

        Raises StartError if the MANIFEST has a damaged end that was durable.
        """
        report = self._report
        check_values = state is None or may_have_lost_values(state)
        readable = self.segments.reader.is_readable if check_values else None
        log = read_log(self._path, manifest, readable, 0 if state is None else state.synced)
        report.log_files = len(log.files)
        report.log_bytes = sum(file.stat().st_size for file in log.files)
        report.log_end = describe_end(log)
        loss = measure_loss(log, state, boot_id())
        check_end(self._path, manifest, log, loss)
        if manifest.damaged_from is not None:
            report.notes.append(
                f"a power cut damaged {manifest.name} from byte {manifest.damaged_from} on, which was not "
                "durable: a start cuts it off"
            )
        report.lost, report.not_durable = loss.acknowledged, loss.not_durable
        if loss.acknowledged:
            file = log.broken_at.file if log.broken_at is not None else "the log"
            self._problem(f"at least {loss.acknowledged} acknowledged changes are lost", file)
        elif loss.not_durable:
            report.notes.append(
                f"a start drops {loss.not_durable} changes of which no client was told that they are durable"
            )
        try:
            if state is None or state.served:
                checks.check_same_store(self._path, manifest, state)
        except StartError as error:
            self._problem(error)
        return log

    def _end_log(self, links: Path, log: WriteAheadLog) -> None:
        """End the log in `links` where a start would end it."""
        if log.broken_at is None:
            return
        names = [file.name for file in log.files]
        for name in names[names.index(log.broken_at.file) :]:
            (links / name).unlink()
        with (self._path / log.broken_at.file).open("rb") as source:
            (links / log.broken_at.file).write_bytes(source.read(log.broken_at.offset))

    def _check_rows(self, links: Path) -> None:
        """Check the rows of the store, as a start would leave them."""
        try:
            reader = ReadOnlyStore(links)
        except StoreError as error:
            self._problem(error)
            return
        try:
            rows = RowCheck(self._report, reader, self.segments.reader)
            rows.run()
            self._check_segments(rows.segments)
        finally:
            reader.close()

    def _check_segments(self, registered: set[int]) -> None:
        for number in sorted(registered - self.segments.sizes.keys()):
            self._problem("is missing", segment_name(number))
        for number in sorted(registered & self.segments.sizes.keys()):
            name = segment_name(number)
            try:
                self.segments.scan(number)
            except CorruptRecord:
                if not any(problem.file == name for problem in self._report.problems):
                    self._report.notes.append(
                        f"{name} has a record that is not whole and that no row needs: a kill may leave one"
                    )
        leftovers = self.segments.sizes.keys() - registered
        if leftovers and self._report.is_sound:
            self._report.notes.append(f"a start deletes {len(leftovers)} segments that no row names")
