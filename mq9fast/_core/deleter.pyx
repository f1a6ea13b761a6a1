"""Deletes single messages; the contract is in deleter.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport BatchDeletes, FoundMessage
from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.delivery.failures cimport Failures
from mq9fast._core.delivery.in_flight cimport DELETING, InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, PendingWork
from mq9fast._core.storage.record_batch cimport has_bit


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

    cdef bint find(self, Mailbox mailbox, uint64_t msg_id, FoundMessage* found) except -1:
        """Find a message that is not deleted, in flight or in the store. One that is not written yet is
        written first. False if there is no such message."""
        if msg_id >= mailbox.next_id:
            return False
        found.place = msg_id
        return self.find_in_flight(mailbox, msg_id, found) or self.find_stored(mailbox, msg_id, found)

    cdef bint find_in_flight(self, Mailbox mailbox, uint64_t msg_id, FoundMessage* found) except -1:
        """Find a message that a queue group has in flight; false if none has it."""
        cdef QueueGroup group
        cdef InFlight* entry
        if not mailbox.groups:
            return False
        for group in mailbox.groups.values():
            entry = group.in_flight.find(msg_id)
            if entry is not NULL and entry.state != DELETING:
                found.rank = entry.rank
                found.size = entry.size
                found.flags = entry.flags
                found.location = entry.location
                found.in_flight = True
                return True
        return False

    cdef bint find_stored(self, Mailbox mailbox, uint64_t msg_id, FoundMessage* found) except -1:
        """Find a message in the store. One that is not written yet is written first. False if there is no
        such message."""
        cdef BatchDeletes deletes = self.accumulator.group.deletes
        cdef uint64_t lookups = deletes.lookups
        cdef RowDeletions row
        cdef int rank
        cdef bint is_there = False
        found.in_flight = False
        if msg_id >= mailbox.written_id:
            self.pending_work.cost += CLOCK_CHECK_COST
            self.write_batch()
        for rank in range(RANKS - 1, -1, -1):
            if mailbox.count[rank] == 0 or msg_id < mailbox.head[rank]:
                continue
            if deletes.find(mailbox.uid, rank, msg_id, self.store, found):
                row = deletes.row(mailbox.uid, rank, &found.location, self.store)
                is_there = not has_bit(row.deleted, found.location.index)
                break
        if deletes.lookups != lookups:
            self.pending_work.cost += CLOCK_CHECK_COST
        return is_there

    cdef bint delete(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """Add the deletion of a message to the commit group; false if there is no such message."""
        cdef FoundMessage found
        return self.find(mailbox, msg_id, &found) and self.delete_found(mailbox, &found)

    cdef bint delete_found(self, Mailbox mailbox, const FoundMessage* found) except -1:
        """Add the deletion of a message that `find` has just found; false if it is deleted already."""
        cdef uint64_t msg_id = found.place
        cdef BatchDeletes deletes = self.accumulator.group.deletes
        cdef RowDeletions row = deletes.row(mailbox.uid, found.rank, &found.location, self.store)
        if not self.delete_in_row(mailbox, row, found.location.index, msg_id, found.size, found.in_flight):
            return False
        if found.in_flight:
            self.begin_deletion(mailbox, msg_id)
        else:
            self.skip_push(mailbox, msg_id)
        self.mailbox_index.message_removed(mailbox, found.rank, msg_id, found.size)
        if mailbox.has_failure_rows:
            self.failures.forget(mailbox, msg_id)
        self.mailbox_index.queue_if_sparse(mailbox)
        self.mailbox_index.queue_if_stale_keys(mailbox)
        return True

    cdef bint remove(
        self, Mailbox mailbox, int rank, uint64_t msg_id, const RecordLocation* location, uint64_t size
    ) except -1:
        """Add the deletion of a written message, of which the location and the size of header and payload are
        known, to the commit group. Members of queue groups do not hold it any more. Returns false if it is
        deleted already."""
        if not self.delete_at(mailbox, rank, location, msg_id, size):
            return False
        self.skip_push(mailbox, msg_id)
        return True

    cdef int begin_deletion(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """No group gives out the message any more, unless the commit group fails."""
        cdef QueueGroup group
        cdef InFlight* entry
        for group in mailbox.groups.values():
            entry = group.in_flight.find(msg_id)
            if entry is not NULL and entry.state != DELETING:
                group.begin_deletion(entry)
        return 0

    cdef bint delete_at(
        self, Mailbox mailbox, int rank, const RecordLocation* location, uint64_t msg_id, uint64_t size
    ) except -1:
        """Add the deletion of a stored message whose location and size are known; false if it is deleted.
        Raises what the store raises."""
        cdef RowDeletions row = self.accumulator.group.deletes.row(mailbox.uid, rank, location, self.store)
        cdef QueueGroup group
        cdef InFlight* entry
        cdef bint in_flight = False
        if mailbox.groups:
            for group in mailbox.groups.values():
                entry = group.in_flight.find(msg_id)
                in_flight = in_flight or (entry is not NULL and entry.state != DELETING)
        if not self.delete_in_row(mailbox, row, location.index, msg_id, size, in_flight):
            return False
        if in_flight:
            self.begin_deletion(mailbox, msg_id)
        self.mailbox_index.message_removed(mailbox, rank, msg_id, size)
        if mailbox.has_failure_rows:
            self.failures.forget(mailbox, msg_id)
        self.mailbox_index.queue_if_sparse(mailbox)
        self.mailbox_index.queue_if_stale_keys(mailbox)
        return True

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
            self.accumulator.group.skips_wait = True
            self.accumulator.group.skip_push(mailbox, msg_id)
            if self.accumulator.sealed is not None:
                self.accumulator.sealed.skip_push(mailbox, msg_id)
        return 0
