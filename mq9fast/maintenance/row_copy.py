"""Copies the rows that can be read of a damaged store to a new one, and makes them agree with each other."""

import os
from collections.abc import Iterator

from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.storage.value_reader import ValueReader
from mq9fast.maintenance import stored_rows
from mq9fast.maintenance.gaps import describe_gap
from mq9fast.maintenance.lost_rows import LostRows
from mq9fast.maintenance.report import Holding, Problem
from mq9fast.maintenance.salvaged_mailbox import SalvagedMailbox
from mq9fast.maintenance.stored_rows import MailboxRow, Row
from mq9fast.storage import layout
from mq9fast.storage.broker_state import BrokerState
from mq9fast.storage.read_only import ReadOnlyStore
from mq9fast.storage.rocks import RocksStore

BATCH_BYTES = 4 << 20


class RowCopy:
    """One copy of all rows. `damage`, `lost`, `holds`: as in `Salvaged`. Raises StoreError and OSError."""

    def __init__(
        self, reader: ReadOnlyStore, values: ValueReader, store: RocksStore, damage: list[Problem]
    ) -> None:
        self._reader = reader
        self._values = values
        self._store = store
        self._batch = store.new_batch()
        self._batch_bytes = 0
        self._records: dict[int, SalvagedMailbox] = {}
        self._names: dict[int, str] = {}
        self._ended: set[int] = set()
        self._due: set[tuple[int, int, int]] = set()
        self._may_have_lost_records = False
        self._id_epoch = 0
        self._lost_rows = LostRows(damage)
        self.damage = damage
        self.lost: list[Problem] = []
        self.holds = Holding()

    def begin(self, state: BrokerState) -> None:
        """Read the records of mailboxes, and raise the id epoch."""
        for key, _ in self._rows(layout.PURGES):
            self._ended.add(int.from_bytes(key[1:9], "big"))
        self._read_records()
        stored = self._value(layout.ID_EPOCH_KEY)
        epochs = [mailbox.row.id_epoch for mailbox in self._records.values()]
        self._id_epoch = max(state.id_epoch, int.from_bytes((stored or b"")[:8], "big"), *epochs, 0)
        raised = min(self._id_epoch + 1, layout.MAX_ID_EPOCH)
        self._put(layout.ID_EPOCH_KEY, layout.number(raised) + os.urandom(8))
        if hash_key := self._value(layout.HASH_KEY):
            self._put(layout.HASH_KEY, hash_key)
        self._write()
        self._store.begin(state.sync)

    def run(self) -> None:
        """Copy everything."""
        self._copy_due_rows()
        self._copy_messages()
        self._finish_mailboxes()
        self._write()

    def _rows(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._reader.readable_rows(prefix, layout.prefix_end(prefix), self._gap)

    def _value(self, key: bytes) -> bytes | None:
        return next((value for _, value in self._rows(key)), None)

    def _gap(self, first: bytes, end: bytes, reason: str) -> None:
        self.damage += describe_gap(first, end, reason, self._names)
        self._may_have_lost_records |= first[:1] == layout.MAILBOXES

    def _put(self, key: bytes, value: bytes) -> None:
        self._batch.put(key, value)
        self._batch_bytes += len(value)
        if self._batch_bytes > BATCH_BYTES:
            self._write()

    def _write(self) -> None:
        self._store.write(self._batch)
        self._batch, self._batch_bytes = self._store.new_batch(), 0

    def _read_records(self) -> None:
        for key, record in self._rows(layout.MAILBOXES):
            address = key[1:].decode("ascii", "replace")
            try:
                row = MailboxRow(record)
            except CorruptRecord as error:
                self.damage.append(Problem(str(error), mailbox=address))
                self._may_have_lost_records = True
                continue
            self._records[row.uid] = SalvagedMailbox(key[1:], row)
            self._names[row.uid] = address
        count = self._value(layout.COUNT_KEY)
        if count is None or int.from_bytes(count, "big") > len(self._records):
            self._may_have_lost_records = True

    def _copy_due_rows(self) -> None:
        for key, value in self._rows(stored_rows.DUE_ROWS):
            try:
                self._due.update(stored_rows.due_entries(key, value))
            except CorruptRecord as error:
                self.damage.append(Problem(str(error)))
            else:
                self._put(key, value)

    def _copy_messages(self) -> None:
        bitmap: tuple[bytes, bytes] | None = None
        for key, stored in self._rows(layout.MESSAGES):
            try:
                row = stored_rows.read_key(key)
                if stored_rows.is_bitmap(row, stored):
                    stored_rows.deleted_bits(stored)
                    bitmap = key, stored
                    continue
            except CorruptRecord as error:
                self.damage.append(Problem(str(error)))
                continue
            mailbox = self._mailbox(row.uid)
            if mailbox is not None:
                self._copy_row(mailbox, row, key, stored, bitmap if row.is_batch else None)
            bitmap = None

    def _mailbox(self, uid: int) -> SalvagedMailbox | None:
        """The mailbox of messages, None if it has ended. If its record is lost, it gets a new one."""
        found = self._records.get(uid)
        if found is None and uid not in self._ended and self._may_have_lost_records:
            found = self._records[uid] = SalvagedMailbox.without_record(uid)
            self._names[uid] = found.name
            self.damage.append(Problem("the record with its address is lost", mailbox=found.name))
        return found

    def _copy_row(
        self,
        mailbox: SalvagedMailbox,
        row: Row,
        key: bytes,
        stored: bytes,
        bitmap: tuple[bytes, bytes] | None,
    ) -> None:
        deleted = stored_rows.deleted_bits(bitmap[1]) if bitmap is not None else 0
        try:
            value = self._values.resolve(stored) or b""
            messages = list(stored_rows.messages_in(row, value, deleted)) if row.priority is not None else []
        except (CorruptRecord, FileNotFoundError) as error:
            self._lost_rows.add(mailbox.name, row, stored, deleted, error)
            return
        if bitmap is not None:
            self._put(*bitmap)
        self._put(key, value)
        mailbox.count_row(row)
        for message in messages:
            mailbox.count(row, message)
            rank = layout.RANKS if row.is_delayed else row.rank
            self.holds.count(rank, message.size)
            if row.is_delayed and (row.uid, row.rank, message.msg_id) not in self._due:
                self._put(
                    *stored_rows.due_row(mailbox.address, row.uid, row.rank, row.msg_id, message.due_ms)
                )

    def _finish_mailboxes(self) -> None:
        """Write the records, with the counts of what is there."""
        for mailbox in self._records.values():
            self.lost += mailbox.losses()
            self._put(layout.mailbox_key(mailbox.address), mailbox.pack())
        self.holds.mailboxes = len(self._records)
        self._put(layout.COUNT_KEY, layout.number(len(self._records)))
        stored = self._value(layout.NEXT_UID_KEY) or b""
        least = max(self._records, default=0) + 1
        next_uid = max(int.from_bytes(stored[:8], "big"), least)
        self._put(
            layout.NEXT_UID_KEY, layout.number(next_uid) + (stored[8:16] or layout.number(self._id_epoch))
        )
