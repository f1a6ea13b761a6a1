"""Deletes single messages; the contract is in deleter.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport BatchDeletes
from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.delivery.failures cimport Failures
from mq9fast._core.delivery.in_flight cimport DELETING, InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, PendingWork
from mq9fast._core.storage.record_batch cimport RecordLocation


cdef class Deleter:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, PendingWork pending_work not None,
        Accumulator accumulator not None, Failures failures not None, *, store, write_batch,
    ):
        self.mailbox_index = mailbox_index
        self.pending_work = pending_work
        self.accumulator = accumulator
        self.failures = failures
        self.store = store
        self.write_batch = write_batch

    cdef bint delete(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """Add the deletion of a message to the commit group; false if there is no such message."""
        cdef int rank = 0
        cdef uint64_t size = 0
        cdef BatchDeletes deletes = self.accumulator.group.deletes
        cdef uint64_t lookups = deletes.lookups
        cdef bint found
        if msg_id >= mailbox.next_id:
            return False
        found = self.delete_in_flight(mailbox, msg_id, &rank, &size)
        found = found or self.delete_stored(mailbox, msg_id, &rank, &size)
        if deletes.lookups != lookups:
            self.pending_work.cost += CLOCK_CHECK_COST
        if not found:
            return False
        self.mailbox_index.message_removed(mailbox, rank, msg_id, size)
        if mailbox.has_failure_rows:
            self.failures.forget(mailbox, msg_id)
        self.mailbox_index.queue_if_sparse(mailbox)
        return True

    cdef bint remove(
        self, Mailbox mailbox, int rank, uint64_t msg_id, const RecordLocation* location, uint64_t size
    ) except -1:
        """Add the deletion of a written message, of which the location and the size of header and payload are
        known, to the commit group. Members of queue groups do not hold it any more. Returns false if it is
        deleted already."""
        cdef QueueGroup group
        cdef InFlight* entry
        cdef bint in_flight = False
        cdef RowDeletions row = self.accumulator.group.deletes.row(mailbox.uid, rank, location, self.store)
        if mailbox.groups:
            for group in mailbox.groups.values():
                in_flight = in_flight or group.in_flight.find(msg_id) is not NULL
        if not self.delete_in_row(mailbox, row, location.index, msg_id, size, in_flight):
            return False
        if in_flight:
            for group in mailbox.groups.values():
                entry = group.in_flight.find(msg_id)
                if entry is not NULL and entry.state != DELETING:
                    group.begin_deletion(entry)
        self.skip_push(mailbox, msg_id)
        self.mailbox_index.message_removed(mailbox, rank, msg_id, size)
        if mailbox.has_failure_rows:
            self.failures.forget(mailbox, msg_id)
        self.mailbox_index.queue_if_sparse(mailbox)
        return True

    cdef bint delete_in_flight(self, Mailbox mailbox, uint64_t msg_id, int* rank, uint64_t* size) except -1:
        """Add the deletion of a message that a queue group has in flight; false if none has it."""
        cdef QueueGroup group
        cdef InFlight* entry
        cdef RowDeletions row = None
        if not mailbox.groups:
            return False
        for group in mailbox.groups.values():
            entry = group.in_flight.find(msg_id)
            if entry is NULL or entry.state == DELETING:
                continue
            if row is None:
                rank[0] = entry.rank
                size[0] = entry.size
                row = self.accumulator.group.deletes.row(mailbox.uid, rank[0], &entry.location, self.store)
                if not self.delete_in_row(mailbox, row, entry.location.index, msg_id, size[0], True):
                    return False
            group.begin_deletion(entry)
        return row is not None

    cdef bint delete_stored(self, Mailbox mailbox, uint64_t msg_id, int* rank, uint64_t* size) except -1:
        """Add the deletion of a message found in the store. A message that is not written yet is written
        first. Returns false if there is no such message."""
        cdef RecordLocation location
        cdef RowDeletions row
        cdef int wanted
        if msg_id >= mailbox.written_id:
            self.pending_work.cost += CLOCK_CHECK_COST
            self.write_batch()
        for wanted in range(RANKS - 1, -1, -1):
            if mailbox.count[wanted] == 0 or msg_id < mailbox.head[wanted]:
                continue
            if self.accumulator.group.deletes.find(mailbox.uid, wanted, msg_id, self.store, &location, size):
                rank[0] = wanted
                row = self.accumulator.group.deletes.row(mailbox.uid, wanted, &location, self.store)
                if not self.delete_in_row(mailbox, row, location.index, msg_id, size[0], False):
                    return False
                self.skip_push(mailbox, msg_id)
                return True
        return False

    cdef bint delete_in_row(
        self, Mailbox mailbox, RowDeletions row, int index, uint64_t msg_id, uint64_t size, bint in_flight
    ) except -1:
        """Mark the message as deleted in its row, and update the dead bytes of the mailbox."""
        cdef uint64_t dead_before = mailbox.dead_bytes
        if not self.accumulator.group.add_delete(mailbox, row, index, msg_id, size, in_flight):
            return False
        self.mailbox_index.dead_bytes_changed(mailbox, dead_before)
        return True

    cdef int skip_push(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """A message that is not durable yet was deleted: live consumers do not get it."""
        if msg_id >= mailbox.durable_id:
            self.accumulator.group.unwritten_skips.append((mailbox.uid, msg_id))
            self.accumulator.group.skip_push(mailbox, msg_id)
            if self.accumulator.sealed is not None:
                self.accumulator.sealed.skip_push(mailbox, msg_id)
        return 0
