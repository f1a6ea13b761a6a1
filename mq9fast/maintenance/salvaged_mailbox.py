"""A mailbox of a damaged store, whose rows are counted while they are copied."""

from collections.abc import Iterator

from mq9fast.maintenance import stored_rows
from mq9fast.maintenance.report import Problem
from mq9fast.maintenance.stored_rows import PRIORITIES, MailboxRow, Message, Row
from mq9fast.storage.layout import IDS_RANK, REPLACED_RANK

# What rows of a rank mean for the flags of a mailbox record.
_FLAGS = {
    IDS_RANK: stored_rows.HAS_ID_ROWS,
    stored_rows.FAILURES_RANK: stored_rows.FAILURE_ROWS,
    stored_rows.NAMES_RANK: stored_rows.NAMES,
    REPLACED_RANK: stored_rows.REPLACED,
}


class SalvagedMailbox:
    """One mailbox, with its record as it was. `has_record`: the record could be read."""

    def __init__(self, address: bytes, row: MailboxRow, *, has_record: bool = True) -> None:
        self.address = address
        self.row = row
        self._has_record = has_record
        self._counts = [0, 0, 0]
        self._delayed = 0
        self._size_bytes = 0
        self._key_rows = 0
        self._newest_id = -1
        self._newest_ms = 0

    @classmethod
    def without_record(cls, uid: int) -> "SalvagedMailbox":
        """A mailbox whose record is lost. Its address is new."""
        row = MailboxRow(stored_rows.empty_record(uid, 0))
        row.flags = stored_rows.RECEIPTS | stored_rows.OWN_LIVES
        return cls(b"salvaged.%d" % uid, row, has_record=False)

    @property
    def name(self) -> str:
        """Its address as text."""
        return self.address.decode("ascii", "replace")

    def count_row(self, row: Row) -> None:
        """Count a row that is copied."""
        self.row.flags |= _FLAGS.get(row.rank, 0)
        self._key_rows += row.rank == stored_rows.KEYS_RANK

    def count(self, row: Row, message: Message) -> None:
        """Count a message of a row that is copied."""
        self._size_bytes += message.size
        self._newest_id = max(self._newest_id, message.msg_id)
        self._newest_ms = max(self._newest_ms, message.created_ms)
        if row.is_delayed:
            self._delayed += 1
        else:
            self._counts[row.rank] += 1

    def losses(self) -> Iterator[Problem]:
        """How many messages are lost, by the record's count."""
        pairs = [*zip(PRIORITIES, self.row.counts, self._counts, strict=True)]
        pairs.append(("delayed", self.row.delayed, self._delayed))
        for priority, recorded, found in pairs if self._has_record else ():
            if recorded > found:
                yield Problem(
                    f"{recorded - found} of {recorded} messages are lost",
                    mailbox=self.name,
                    priority=priority,
                    messages=recorded - found,
                )

    def pack(self) -> bytes:
        """The record, with the counts of what is there."""
        row = self.row
        row.counts, row.delayed = self._counts, self._delayed
        row.size_bytes, row.key_rows = self._size_bytes, self._key_rows
        row.next_id = max(row.next_id, self._newest_id + 1)
        row.renewed_ms = max(row.renewed_ms, self._newest_ms)
        return row.pack()
