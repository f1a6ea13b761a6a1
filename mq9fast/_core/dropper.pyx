"""Drops messages that newer ones replace; the contract, and who uses it, is in dropper.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_puts cimport BatchPuts
from mq9fast._core.commit.commit_group cimport CommitGroup
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.in_flight cimport HELD, InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.storage.record_batch cimport RecordLocation


cdef class Dropper:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None, Deleter deleter not None
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.deleter = deleter

    cdef int drop_unwritten(self, Mailbox mailbox, int rank, Py_ssize_t index) except -1:
        """Drop a message of the write batch, by its index there. It is neither stored nor delivered."""
        cdef BatchPuts puts = self.accumulator.group.puts
        cdef uint64_t msg_id = puts.messages[index].msg_id
        cdef uint64_t size = puts.content_size(index)
        puts.drop(index)
        self.mailbox_index.message_removed(mailbox, rank, msg_id, size)
        return self.dropped(mailbox, msg_id)

    cdef int drop_stored(
        self, Mailbox mailbox, int rank, const RecordLocation* location, uint64_t msg_id, uint64_t size
    ) except -1:
        """Drop a message that the store has. Raises what the store raises."""
        if not self.deleter.delete_at(mailbox, rank, location, msg_id, size):
            return 0
        self.accumulator.group.replacing.add(mailbox.uid)
        if msg_id >= mailbox.durable_id:
            self.skip_push(mailbox, msg_id)
        return self.dropped(mailbox, msg_id)

    cdef bint is_held(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """Whether a member of a queue group has the message."""
        cdef QueueGroup group
        cdef InFlight* entry
        if not mailbox.groups:
            return False
        for group in mailbox.groups.values():
            entry = group.in_flight.find(msg_id)
            if entry is not NULL and entry.state == HELD:
                return True
        return False

    cdef int skip_push(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """The message is not durable yet. If the group before has it, plain readers get it all the same."""
        cdef CommitGroup group = self.accumulator.group
        group.unwritten_skips.append((mailbox.uid, msg_id))
        group.skip_push(mailbox, msg_id)
        if self.accumulator.sealed is not None:
            self.accumulator.sealed.skip_push_to_groups(mailbox, msg_id)
            if mailbox.groups:
                group.skips_wait = True
        return 0

    cdef int dropped(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """The commit group that gathers has dropped a message."""
        self.discarded += 1
        return 0
