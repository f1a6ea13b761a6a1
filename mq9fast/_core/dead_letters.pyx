"""Moves messages to the mailbox for dead letters; the contract is in dead_letters.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, empty_view, to_bytes, view_of
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.receipts cimport DEAD, Receipts
from mq9fast._core.storage.record cimport NewMessage, empty_message
from mq9fast._core.storage.row_format cimport HAS_REPLY_TO

from mq9fast._core.mailbox.stored_messages import find_message

cdef enum:
    MAX_TEXT_BYTES = 512

cdef bytes DEAD_FROM = b"\r\nMq9-Dead-From: "
cdef bytes REPLY_TO = b"\r\nmq9-reply-to:"
cdef bytes RECEIPT_TO = b"\r\nmq9-receipt-to:"
cdef bytes RECEIPT = b"\r\nmq9-receipt:"
# Every control character becomes a blank.
cdef bytes PRINTABLE = bytes([32 if byte < 32 or byte == 127 else byte for byte in range(256)])


cdef bytes dead_headers(Mailbox mailbox, uint64_t msg_id, bytes reason, View text, uint64_t deliveries):
    """The lines that say of a dead letter where it comes from and why it is dead."""
    cdef bytes lines = b"Mq9-Dead-From: %b/%d\r\nMq9-Dead-Reason: %b\r\n" % (mailbox.address, msg_id, reason)
    cdef bytes words
    if text.size:
        # A character that was cut in two goes.
        words = to_bytes(text)[:MAX_TEXT_BYTES].translate(PRINTABLE).strip()
        words = words.decode("utf-8", "ignore").encode()
        if words:
            lines += b"Mq9-Dead-Text: %b\r\n" % words
    if deliveries:
        lines += b"Mq9-Deliveries: %d\r\n" % deliveries
    return lines


cdef class DeadLetters:
    """One for each broker. `create(address)` makes a private mailbox without TTL; None past a limit."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None,
        MessageAdder adder not None, Deleter deleter not None, Receipts receipts not None,
        Events events not None, *, store, create,
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.adder = adder
        self.deleter = deleter
        self.receipts = receipts
        self.events = events
        self.store = store
        self.create = create

    def bury(self, Mailbox mailbox not None, uint64_t msg_id, uint64_t deliveries) -> bool:
        """A message has failed as often as it may: move it. False if its target is full: try again later.
        Raises what the store raises."""
        return self.bury_message(mailbox, msg_id, b"max_deliver", empty_view(), deliveries) != TARGET_FULL

    cdef Burial bury_message(
        self, Mailbox mailbox, uint64_t msg_id, bytes reason, View text, uint64_t deliveries
    ) except *:
        """Move a stored message to the mailbox for dead letters, or drop it if there is none. Raises what the
        store raises."""
        cdef int rank
        cdef bytes header, payload, added
        for rank in range(RANKS):
            found = find_message(self.store, mailbox, rank, msg_id)
            if found is None:
                continue
            _, _, header, payload, name = found
            if mailbox.options is None or mailbox.options.dead_letter is None or DEAD_FROM in header:
                if not self.deleter.delete(mailbox, msg_id):
                    return NOT_FOUND
                self.dropped += 1
                self.tell(mailbox, name, header, b"dropped", reason)
                return BURIED
            added = dead_headers(mailbox, name, reason, text, deliveries)
            if not self.move(mailbox, rank, msg_id, header, payload, added):
                return TARGET_FULL
            self.tell(mailbox, name, header, b"dead_letter", reason)
            return BURIED
        return NOT_FOUND

    cdef int tell(self, Mailbox mailbox, uint64_t msg_id, bytes header, bytes event, bytes reason) except -1:
        """Tell those who want to know that the message is dead, in the same commit."""
        cdef bytes lower = header.lower()
        cdef bytes details = b',"reason":"%b"' % reason
        cdef bytes log = None if mailbox.options is None else mailbox.options.receipts_to
        if RECEIPT not in lower:
            block = header if RECEIPT_TO in lower else None
            if log or block is not None:
                self.receipts.send(mailbox.address, log, msg_id, block, DEAD, details)
        if self.events.watches(mailbox):
            self.events.note_message(mailbox, event, msg_id, details)
        return 0

    cdef bint move(
        self, Mailbox mailbox, int rank, uint64_t msg_id, bytes header, bytes payload, bytes added
    ) except -1:
        """Add the dead letter and the deletion to the commit group. False if a limit refuses it."""
        cdef bytes block = (header[:len(header) - 2] if header else b"NATS/1.0\r\n") + added + b"\r\n"
        cdef NewMessage message = empty_message()
        cdef Mailbox target = self.mailbox_index.look_up(view_of(mailbox.options.dead_letter))
        message.rank = rank
        message.header = view_of(block)
        message.payload = view_of(payload)
        message.composed = True
        if REPLY_TO in header.lower():
            message.flags = HAS_REPLY_TO
        if self.accumulator.disk_full or self.accumulator.store_failed:
            return False
        if not self.adder.make_room(target, &message) or self.accumulator.store_failed:
            return False
        if target is None:
            target = self.create(mailbox.options.dead_letter)
            if target is None:
                return False
        # Nothing is written from here on: both changes are in one batch.
        if self.deleter.delete(mailbox, msg_id):
            self.adder.add(target, &message)
            self.moved += 1
        return True
