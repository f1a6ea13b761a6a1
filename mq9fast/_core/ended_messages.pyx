"""Receipts and dead letters of ended mailboxes; the contract is in ended_messages.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport to_bytes
from mq9fast._core.dead_letters cimport DeadLetters, is_dead_letter
from mq9fast._core.mailbox.failed_deliveries cimport Failure, failure_key, unpack_failure
from mq9fast._core.receipts cimport DEAD, EXPIRED, ReceiptEvent, Receipts
from mq9fast._core.storage.record cimport name_of
from mq9fast._core.storage.record_batch cimport RecordBatchReader, pack_deletion_bitmap
from mq9fast._core.storage.row_format cimport HAS_RECEIPT_TO, IS_RECEIPT


cdef class EndedMessages:
    """One for each broker."""

    def __cinit__(self, Receipts receipts not None, DeadLetters dead_letters not None, *, store):
        self.receipts = receipts
        self.dead_letters = dead_letters
        self.store = store

    def end_row(
        self, uint64_t uid, bytes address not None, bytes receipts_to not None, bytes dead_letter not None,
        int rank, rows not None,
    ):
        """Add the dead letters and receipts of the messages in one row to the commit group. The caller
        deletes the row there.

        `uid`, `address`: of the ended mailbox. `receipts_to`: its option. `dead_letter`: the mailbox for
        its dead letters, empty if expired messages are none. `rank`: of the messages. `rows`: (key, value) of
        the row, and before it that of its deletion bitmap, if it has one. Returns None if that is done; if a
        limit of the mailbox for dead letters refuses one, a deletion bitmap of the messages before.
        CorruptRecord if the row is not valid.
        """
        cdef RecordBatchReader reader = RecordBatchReader(rows, 0)
        cdef bytes block, details
        cdef ReceiptEvent event
        cdef uint64_t name, done = 0
        while reader.next_message():
            done |= reader.deleted
            name = name_of(&reader.message, reader.msg_id)
            event = EXPIRED
            details = b""
            if dead_letter and not is_dead_letter(reader.message.header):
                if not self.dead_letters.add(
                    dead_letter, address, name, rank, &reader.message, self.deliveries(uid, reader.msg_id)
                ):
                    return pack_deletion_bitmap(done, 0)
                event = DEAD
                details = b',"reason":"expired"'
            if not reader.message.flags & IS_RECEIPT:
                block = to_bytes(reader.message.header) if reader.message.flags & HAS_RECEIPT_TO else None
                if receipts_to or block is not None:
                    self.receipts.send(address, receipts_to, name, block, event, details)
            done |= <uint64_t>1 << reader.index
        return None

    cdef uint64_t deliveries(self, uint64_t uid, uint64_t msg_id) except? 0:
        """How many deliveries of a message failed."""
        cdef Failure failure
        cdef bint is_dead
        value = self.store.get(failure_key(uid, msg_id))
        if value is None:
            return 0
        unpack_failure(value, &failure, &is_dead)
        return failure.count
