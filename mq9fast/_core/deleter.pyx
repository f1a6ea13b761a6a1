"""Deletes single messages; the contract is in deleter.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport BatchDeletes, FoundMessage
from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.delivery.failures cimport Failures
from mq9fast._core.delivery.in_flight cimport DELETING, InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup, next_group
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox.stored_messages cimport read_message_at
from mq9fast._core.names cimport Names
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, PendingWork
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatch, has_bit
from mq9fast._core.storage.row_format cimport HAS_LIFE


cdef class Deleter:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, PendingWork pending_work not None,
        Accumulator accumulator not None, Failures failures not None, Names names not None,
        *, store, write_batch,
    ):
        self.mailbox_index = mailbox_index
        self.pending_work = pending_work
        self.accumulator = accumulator
        self.failures = failures
        self.names = names
        self.store = store
        self.write_batch = write_batch

    cdef bint find(self, Mailbox mailbox, uint64_t msg_id, FoundMessage* found) except -1:
        """Find a message that is not deleted and has not expired, in flight or in the store. One that is not
        written yet is written first. False if there is no such message."""
        if msg_id >= mailbox.next_id:
            return False
        found.place = found.name = msg_id
        if not self.find_in_flight(mailbox, msg_id, found) and not self.find_stored(mailbox, msg_id, found):
            return False
        return mailbox.times is None or not self.has_expired(mailbox, found)

    cdef bint has_expired(self, Mailbox mailbox, const FoundMessage* found) except -1:
        """Whether a message that was found has expired, and is only not removed yet."""
        cdef RecordBatch batch
        cdef StoredMessage message
        if not found.flags & HAS_LIFE and not mailbox.times.may_be_past_max_age():
            return False
        batch = RecordBatch()
        if not read_message_at(self.store, mailbox, found.rank, &found.location, batch, &message):
            return True
        return mailbox.times.has_expired(&message)

    cdef bint find_in_flight(self, Mailbox mailbox, uint64_t msg_id, FoundMessage* found) except -1:
        """Find a message that a queue group has in flight; false if none has it."""
        cdef QueueGroup group
        cdef InFlight* entry
        cdef Py_ssize_t position = 0
        if not mailbox.groups:
            return False
        for _ in range(len(mailbox.groups)):
            group = next_group(mailbox.groups, &position)
            entry = group.in_flight.find(msg_id)
            if entry is not NULL and entry.state != DELETING:
                found.rank = entry.rank
                found.size = entry.size
                found.flags = entry.flags
                found.location = entry.location
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

    cdef bint delete_found(self, Mailbox mailbox, const FoundMessage* found) except -1:
        """Add the deletion of a message that was just found to the commit group; false if it is deleted
        already. Live consumers that did not get it yet do not get it any more."""
        if not self.remove(mailbox, found):
            return False
        self.skip_push(mailbox, found.place)
        return True

    cdef bint remove(self, Mailbox mailbox, const FoundMessage* found) except -1:
        """As `delete_found`, without an effect on live consumers. Raises what the store raises."""
        cdef RowDeletions row = self.accumulator.group.deletes.row(
            mailbox.uid, found.rank, &found.location, self.store
        )
        cdef int index = found.location.index
        cdef bint in_flight
        if has_bit(row.deleted, index):
            return False
        if found.name != found.place:
            self.names.forget(mailbox, found.name)
        # From here on nothing is read.
        in_flight = self.begin_deletion(mailbox, found.place)
        return self.note_removal(mailbox, row, index, found.place, found.size, in_flight)

    cdef bint delete_held(self, Mailbox mailbox, QueueGroup group, InFlight* entry) except -1:
        """As `delete_found`, a message that a member of the only group of the mailbox holds, and whose place
        is its name."""
        cdef RowDeletions row = self.accumulator.group.deletes.row(
            mailbox.uid, entry.rank, &entry.location, self.store
        )
        if has_bit(row.deleted, entry.location.index):
            return False
        group.begin_deletion(entry)
        return self.note_removal(mailbox, row, entry.location.index, entry.item.minor, entry.size, True)

    cdef bint note_removal(
        self, Mailbox mailbox, RowDeletions row, int index, uint64_t place, uint64_t size, bint in_flight
    ) except -1:
        """Add the deletion of a message of this row to the commit group, and count it."""
        cdef uint64_t dead_before = mailbox.dead_bytes
        self.accumulator.group.add_delete(mailbox, row, index, place, size, in_flight)
        self.mailbox_index.dead_bytes_changed(mailbox, dead_before)
        self.mailbox_index.message_removed(mailbox, row.rank, place, size)
        if mailbox.has_failure_rows:
            self.failures.forget(mailbox, place)
        if mailbox.times is not None and mailbox.total() == 0:
            mailbox.times.has_names = False
        self.mailbox_index.queue_if_sparse(mailbox)
        self.mailbox_index.queue_if_stale_keys(mailbox)
        return True

    cdef bint begin_deletion(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """No group gives out the message any more, unless the commit group fails. Returns whether any has it
        in flight."""
        cdef QueueGroup group
        cdef InFlight* entry
        cdef bint in_flight = False
        cdef Py_ssize_t position = 0
        if mailbox.groups:
            for _ in range(len(mailbox.groups)):
                group = next_group(mailbox.groups, &position)
                entry = group.in_flight.find(msg_id)
                if entry is not NULL and entry.state != DELETING:
                    group.begin_deletion(entry)
                    in_flight = True
        return in_flight

    cdef int skip_push(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """A message that is not durable yet was deleted: live consumers do not get it."""
        if msg_id >= mailbox.durable_id:
            self.accumulator.group.unwritten_skips.append((mailbox.uid, msg_id))
            self.accumulator.group.skips_wait = True
            self.accumulator.group.skip_push(mailbox, msg_id)
            if self.accumulator.sealed is not None:
                self.accumulator.sealed.skip_push(mailbox, msg_id)
        return 0
