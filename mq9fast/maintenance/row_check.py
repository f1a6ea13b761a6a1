"""Checks every row of a store: whether it can be read, and whether rows agree with each other."""

from collections.abc import Iterator
from typing import Any

from mq9fast._core.storage.record import DELAYED_RANK, FORMAT_VERSION, CorruptRecord
from mq9fast._core.storage.value_reader import ValueReader
from mq9fast.maintenance import stored_rows
from mq9fast.maintenance.gaps import describe_gap
from mq9fast.maintenance.lost_rows import LostRows
from mq9fast.maintenance.report import Problem, Report
from mq9fast.maintenance.stored_rows import PRIORITIES, MailboxRow, Row
from mq9fast.storage import layout
from mq9fast.storage.read_only import ReadOnlyStore

UNREADABLE = (CorruptRecord, FileNotFoundError)


class Counted:
    """What the rows of one mailbox hold."""

    def __init__(self) -> None:
        self.counts = [0, 0, 0]
        self.delayed = 0
        self.size_bytes = 0
        self.newest_id = -1


class RowCheck:
    """One check of all rows, for a report. `segments`: those that the store has rows for.

    Raises OSError.
    """

    def __init__(self, report: Report, reader: ReadOnlyStore, values: ValueReader) -> None:
        self._report = report
        self._reader = reader
        self._values = values
        self._mailboxes: dict[int, tuple[str, MailboxRow]] = {}
        self._ended: set[int] = set()
        self._counted: dict[int, Counted] = {}
        # Messages that are due at a time, in ms: by uid, kind and msg_id.
        self._waiting: dict[tuple[int, int, int], int] = {}
        self._newest_ms = 0
        self._gaps = 0
        self._lost_rows = LostRows(report.problems)
        self._lost_uids: set[int] = set()
        self.segments: set[int] = set()

    def run(self) -> None:
        """Check everything."""
        version = self._number(layout.VERSION_KEY)
        self._report.format = version
        if version is None:
            self._add("the format of the store is missing")
            version = FORMAT_VERSION
        elif version > FORMAT_VERSION:
            self._add(f"the format of the store is {version}, which this version does not know")
            return
        for key, _ in self._rows(layout.SEGMENTS):
            self.segments.add(int.from_bytes(key[1:], "big"))
        for key, _ in self._rows(layout.PURGES):
            self._ended.add(int.from_bytes(key[1:9], "big"))
        self._read_mailboxes(version)
        self._read_messages()
        self._read_due_rows()
        self._compare()

    def _add(self, reason: object, **about: Any) -> None:
        self._report.problems.append(Problem(str(reason), **about))

    def _number(self, key: bytes) -> int | None:
        value = next((value for _, value in self._rows(key)), None)
        return None if value is None else int.from_bytes(value[:8], "big")

    def _rows(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._reader.readable_rows(prefix, layout.prefix_end(prefix), self._gap)

    def _gap(self, first: bytes, end: bytes, reason: str) -> None:
        self._gaps += 1
        names = {uid: address for uid, (address, _) in self._mailboxes.items()}
        self._report.problems += describe_gap(first, end, reason, names)

    def _read_mailboxes(self, version: int) -> None:
        found = 0
        for key, record in self._rows(layout.MAILBOXES):
            address = key[1:].decode("ascii", "replace")
            found += 1
            try:
                row = MailboxRow(record)
            except CorruptRecord as error:
                self._add(error, mailbox=address)
                continue
            self._mailboxes[row.uid] = address, row
        self._report.holds.mailboxes = found
        if version < layout.FIRST_FORMAT_WITH_COUNT:
            return
        count = self._number(layout.COUNT_KEY)
        if count is None or found < count:
            self._add(
                "the count of mailboxes is missing"
                if count is None
                else f"{count} mailboxes were stored, but only {found} were found"
            )

    def _read_messages(self) -> None:
        deleted = 0
        for key, stored in self._rows(layout.MESSAGES):
            try:
                row = stored_rows.read_key(key)
                if stored_rows.is_bitmap(row, stored):
                    deleted = stored_rows.deleted_bits(stored)
                    continue
            except CorruptRecord as error:
                self._add(error)
                continue
            self._read_row(row, stored, deleted if row.is_batch else 0)
            deleted = 0

    def _read_row(self, row: Row, stored: bytes, deleted: int) -> None:
        if row.uid in self._ended:
            return
        counted = self._counted.setdefault(row.uid, Counted())
        try:
            value = self._values.resolve(stored) or b""
            if row.priority is not None:
                self._count(row, counted, value, deleted)
        except UNREADABLE as error:
            self._lost_uids.add(row.uid)
            self._lost_rows.add(self._address(row.uid), row, stored, deleted, error)

    def _count(self, row: Row, counted: Counted, value: bytes, deleted: int) -> None:
        rank = row.priority
        assert rank is not None
        for message in stored_rows.messages_in(row, value, deleted):
            counted.size_bytes += message.size
            counted.newest_id = max(counted.newest_id, message.msg_id)
            if row.is_delayed:
                counted.delayed += 1
            else:
                counted.counts[rank] += 1
            if due_ms := message.next_ms(is_delayed=row.is_delayed):
                self._waiting[row.uid, row.rank, message.msg_id] = due_ms
            self._newest_ms = max(self._newest_ms, message.created_ms)
            if row.uid in self._mailboxes:
                self._report.holds.count(layout.RANKS if row.is_delayed else rank, message.size)

    def _address(self, uid: int) -> str:
        found = self._mailboxes.get(uid)
        return found[0] if found is not None else f"with the number {uid}"

    def _read_due_rows(self) -> None:
        for key, value in self._rows(stored_rows.DUE_ROWS):
            try:
                for entry in stored_rows.due_entries(key, value):
                    self._waiting.pop(entry, None)
            except CorruptRecord as error:
                self._add(error)

    def _compare(self) -> None:
        """Compare the records of mailboxes with their rows."""
        for (uid, kind, msg_id), due_ms in sorted(self._waiting.items()):
            is_delayed = kind >= DELAYED_RANK
            # Of a message whose life has ended the broker deletes the due row first, if a member holds it.
            if is_delayed or due_ms > self._newest_ms:
                self._add(
                    f"its due row is missing: it would never {'be due' if is_delayed else 'expire'}",
                    mailbox=self._address(uid),
                    priority=PRIORITIES[kind % DELAYED_RANK],
                    first_id=msg_id,
                    last_id=msg_id,
                    loses=is_delayed,
                )
        orphans = self._counted.keys() - self._mailboxes.keys()
        if orphans and self._report.is_sound:
            self._report.notes.append(f"there are messages of {len(orphans)} mailboxes that have no record")
        for uid, (address, row) in self._mailboxes.items():
            self._compare_mailbox(uid, address, row)

    def _compare_mailbox(self, uid: int, address: str, row: MailboxRow) -> None:
        counted = self._counted.get(uid, Counted())
        for rank, priority in enumerate(PRIORITIES):
            if row.counts[rank] != counted.counts[rank]:
                self._differs(address, "messages", row.counts[rank], counted.counts[rank], priority)
        if row.delayed != counted.delayed:
            self._differs(address, "delayed messages", row.delayed, counted.delayed)
        if row.size_bytes != counted.size_bytes and uid not in self._lost_uids and not self._gaps:
            self._differs(address, "bytes", row.size_bytes, counted.size_bytes)
        if counted.newest_id >= row.next_id:
            self._add(f"its next msg_id, {row.next_id}, is not above those stored", mailbox=address)

    def _differs(self, address: str, what: str, recorded: int, found: int, priority: str = "") -> None:
        missing = recorded - found if what != "bytes" and recorded > found else None
        self._add(
            f"the mailbox counts {recorded} {what}, and {found} are there",
            mailbox=address,
            priority=priority,
            messages=missing,
            loses=missing is not None,
        )
