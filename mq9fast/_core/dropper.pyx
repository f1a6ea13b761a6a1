"""Drops messages that newer ones replace; the contract, and who uses it, is in dropper.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from mq9fast._core.base.view cimport to_bytes, view_of
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.commit.batch_puts cimport BatchPuts
from mq9fast._core.commit.commit_group cimport CommitGroup
from mq9fast._core.delayed_messages cimport DelayedMessages
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.delivery.in_flight cimport HELD, InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox.stored_messages cimport read_message_at
from mq9fast._core.storage.record cimport StoredMessage, name_of, unpack_message
from mq9fast._core.storage.record_batch cimport RecordBatch
from mq9fast._core.storage.row_format cimport HAS_NAME, HAS_RECEIPT_TO


cdef class Dropper:
    """One for each broker.

    `send_receipts(mailbox, msg_id, header_block, may_discard)` sends the receipts of a message that was
    replaced. If not `may_discard`, they must not make other mailboxes drop messages.
    """

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None, Deleter deleter not None,
        DelayedMessages delayed not None, Events events not None, *, store, send_receipts,
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.deleter = deleter
        self.delayed = delayed
        self.events = events
        self.store = store
        self.send_receipts = send_receipts
        self.untold = []

    cdef int drop_unwritten(self, Mailbox mailbox, int rank, Py_ssize_t index) except -1:
        """Drop a message of the write batch, by its index there. It is neither stored nor delivered."""
        cdef BatchPuts puts = self.accumulator.group.puts
        cdef uint64_t msg_id = puts.messages[index].msg_id
        cdef StoredMessage message
        cdef uint64_t name
        unpack_message(puts.stored(&puts.messages[index]), &message)
        name = name_of(&message, msg_id)
        if name != msg_id:
            self.deleter.names.forget(mailbox, name)
        if self.must_read(mailbox, message.flags):
            self.note(mailbox, name, &message)
        puts.drop(index)
        self.mailbox_index.message_removed(
            mailbox, rank, msg_id, <uint64_t>(message.header.size + message.payload.size)
        )
        self.discarded += 1
        return 0

    cdef int drop_stored(self, Mailbox mailbox, FoundMessage* found) except -1:
        """Drop a message that the store has. Sets its name. Raises what the store raises."""
        cdef RecordBatch batch
        cdef StoredMessage message
        cdef bint is_read = False
        if self.must_read(mailbox, found.flags):
            batch = RecordBatch()
            is_read = read_message_at(self.store, mailbox, found.rank, &found.location, batch, &message)
            if is_read:
                found.name = name_of(&message, found.place)
        if not self.deleter.remove(mailbox, found):
            return 0
        self.accumulator.group.replacing.add(mailbox.uid)
        if found.place >= mailbox.durable_id:
            self.skip_push(mailbox, found.place)
        self.discarded += 1
        return self.note(mailbox, found.name, &message) if is_read else 0

    cdef int drop_delayed(self, Mailbox mailbox, int kind, uint64_t msg_id) except -1:
        """Drop a delayed message, `kind` as in `DelayedMessages`. Raises what the store raises."""
        cdef StoredMessage message
        cdef bytes value = self.delayed.read(mailbox, kind, msg_id)
        if value is None:
            return 0
        unpack_message(view_of(value), &message)
        if not self.delayed.is_unwritten(mailbox, kind, msg_id):
            self.accumulator.group.replacing.add(mailbox.uid)
        self.delayed.remove(mailbox, kind, msg_id, <uint64_t>(message.header.size + message.payload.size))
        self.discarded += 1
        return self.note(mailbox, msg_id, &message)

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

    cdef bint must_read(self, Mailbox mailbox, uint8_t flags) noexcept:
        """Whether anything is to be known of a dropped message with these MessageFlags."""
        return flags & HAS_NAME or mailbox.wants_receipts(flags) or self.events.watches(mailbox)

    cdef int note(self, Mailbox mailbox, uint64_t name, const StoredMessage* message) except -1:
        """A message is dropped. Its event leaves with the commit group, its receipts are sent later."""
        if mailbox.wants_receipts(message.flags):
            block = to_bytes(message.header) if message.flags & HAS_RECEIPT_TO else None
            self.untold.append((mailbox, name, block, self.is_telling))
        if self.events.watches(mailbox):
            self.events.note_message(mailbox, b"dropped", name, b',"reason":"replaced"')
        return 0

    cdef int send_untold(self) except -1:
        """Send receipts. Where they make mailboxes drop messages, the receipts of those drop nothing more."""
        self.is_telling = True
        try:
            while self.untold:
                mailbox, name, block, is_chained = self.untold.pop(0)
                self.send_receipts(mailbox, name, block, not is_chained)
        finally:
            self.is_telling = False
        return 0
