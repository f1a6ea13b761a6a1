"""Moves messages to the mailbox for dead letters; the contract is in dead_letters.pxd."""

from itertools import islice

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.view cimport View, to_bytes, view_of
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.delivery.failures cimport RETRY_MS, Failures
from mq9fast._core.delivery.in_flight cimport HELD, InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.failed_deliveries cimport FailedDeliveries, Failure
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox.stored_messages cimport read_message_at
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.protocol.headers cimport has_header, without_last_line
from mq9fast._core.receipts cimport DEAD, Receipts
from mq9fast._core.storage.record cimport NewMessage, StoredMessage, empty_message, name_of
from mq9fast._core.storage.record_batch cimport RecordBatch
from mq9fast._core.storage.row_format cimport HAS_RECEIPT_TO, HAS_REPLY_TO

cdef enum:
    MAX_TEXT_BYTES = 512
    ALL_ROWS = 1 << 30
    # What one call of `retry` does: rows that it loads, messages that it moves, and how many are refused.
    ROWS_AT_ONCE = 1024
    MOVED_AT_ONCE = 64
    REFUSED_AT_ONCE = 16

cdef bytes MAX_DELIVER = b"max_deliver"
cdef bytes TERMINATED = b"terminated"
cdef bytes DEAD_FROM = b"mq9-dead-from"
# Every control character becomes a blank.
cdef bytes PRINTABLE = bytes([32 if byte < 32 or byte == 127 else byte for byte in range(256)])


cdef bint is_dead_letter(View header) noexcept:
    """Whether a message with this header block is a dead letter."""
    return has_header(header, view_of(DEAD_FROM))


cdef bytes printable(View text):
    """The text of +TERM as a header has it: without control characters, and cut off."""
    # A character that was cut in two goes.
    cdef bytes words = to_bytes(text)[:MAX_TEXT_BYTES].translate(PRINTABLE).strip()
    return words.decode("utf-8", "ignore").encode()


cdef bytes dead_block(
    View header, bytes address, uint64_t name, bytes reason, bytes text, uint64_t deliveries
):
    """The header block of a dead letter: that of the message, where it comes from, and why it is dead."""
    cdef bytes block = without_last_line(to_bytes(header)) if header.size else b"NATS/1.0\r\n"
    block += b"Mq9-Dead-From: %b/%d\r\nMq9-Dead-Reason: %b\r\n" % (address, name, reason)
    if text:
        block += b"Mq9-Dead-Text: %b\r\n" % text
    if deliveries:
        block += b"Mq9-Deliveries: %d\r\n" % deliveries
    return block + b"\r\n"


cdef NewMessage dead_letter(int rank, bytes block, const StoredMessage* message) noexcept:
    """DANGER: it points into `block` and the message."""
    cdef NewMessage new = empty_message()
    new.rank = rank
    new.header = view_of(block)
    new.payload = message.payload
    new.composed = True
    new.flags = message.flags & HAS_REPLY_TO
    return new


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
        """A message has failed as often as it may: move it. False if its target is full: then no client gets
        it any more, and it is moved later. Raises what the store raises."""
        if self.bury_message(mailbox, msg_id, MAX_DELIVER, None, deliveries) != TARGET_FULL:
            return True
        self.deleter.failures.keep_dead(mailbox, msg_id, <uint32_t>deliveries, None)
        return False

    cdef int retry(self, Mailbox mailbox) except -1:
        """Move dead messages of a mailbox whose target was full. The due row that called for this is gone.
        Raises what the store raises."""
        cdef Failures failures = self.deleter.failures
        cdef uint64_t now_ms = self.mailbox_index.now_ms
        cdef Py_ssize_t refused = 0
        cdef uint64_t msg_id
        if not failures.load(mailbox, ROWS_AT_ONCE):
            return failures.retry_later(mailbox, now_ms)
        if mailbox.failed is None or mailbox.failed.retry_ms > now_ms:
            # There are none any more, or another due row calls for them.
            return 0
        for msg_id in list(islice(mailbox.failed.dead, MOVED_AT_ONCE)):
            if not self.move_dead(mailbox, msg_id):
                refused += 1
                if refused == REFUSED_AT_ONCE:
                    break
            if mailbox.failed is None:
                return 0
        if len(mailbox.failed.dead) == 0:
            return 0
        return failures.retry_later(mailbox, now_ms + (RETRY_MS if refused else 0))

    cdef bint move_dead(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """Move a message that is kept as dead. If its target is still full, others come first the next
        time."""
        cdef FailedDeliveries failed = mailbox.failed
        cdef const Failure* failure = failed.find(msg_id)
        cdef bytes text = failed.dead[msg_id]
        cdef bytes reason = MAX_DELIVER if text is None else TERMINATED
        cdef Burial outcome = self.bury_message(mailbox, msg_id, reason, text, failure.count)
        failed.dead.pop(msg_id, None)
        if outcome == TARGET_FULL:
            failed.dead[msg_id] = text
        return outcome != TARGET_FULL

    cdef Burial terminate(self, Mailbox mailbox, uint64_t place, View said) except *:
        """+TERM: the message becomes a dead letter at once. If its target is full, no client gets it any
        more, and it is moved later. Raises what the store raises."""
        cdef QueueGroup group
        cdef InFlight* entry
        cdef Failure* failure
        cdef uint64_t deliveries = 0
        cdef bytes text = printable(said)
        cdef list holders = []
        cdef Burial outcome
        self.deleter.failures.load(mailbox, ALL_ROWS)
        failure = self.deleter.failures.find(mailbox, place)
        if failure is not NULL:
            deliveries = failure.count
        for group in (mailbox.groups or {}).values():
            entry = group.in_flight.find(place)
            if entry is not NULL and entry.state == HELD:
                holders.append(group)
        deliveries += <uint64_t>len(holders)
        outcome = self.bury_message(mailbox, place, TERMINATED, text, deliveries)
        if outcome == TARGET_FULL and not self.accumulator.store_failed:
            self.deleter.failures.keep_dead(mailbox, place, <uint32_t>deliveries, text)
            for group in holders:
                group.refuse(group.in_flight.find(place), 0)
        return outcome

    cdef Burial bury_message(
        self, Mailbox mailbox, uint64_t place, bytes reason, bytes text, uint64_t deliveries
    ) except *:
        """Move a message to the mailbox for dead letters, or drop it if there is none. Raises what the store
        raises."""
        cdef FoundMessage found
        cdef RecordBatch batch = RecordBatch()
        cdef StoredMessage message
        if not self.deleter.find(mailbox, place, &found):
            return NOT_FOUND
        if not read_message_at(self.store, mailbox, found.rank, &found.location, batch, &message):
            return NOT_FOUND
        found.name = name_of(&message, place)
        return self.bury_found(mailbox, &found, &message, reason, text, deliveries)

    cdef Burial bury_found(
        self, Mailbox mailbox, const FoundMessage* found, const StoredMessage* message, bytes reason,
        bytes text, uint64_t deliveries
    ) except *:
        """As `bury_message`, a message that was just found and read."""
        cdef bytes block
        cdef NewMessage letter
        cdef Mailbox target
        cdef bytes address = None if mailbox.options is None else mailbox.options.dead_letter
        if address is None or is_dead_letter(message.header):
            if not self.deleter.delete_found(mailbox, found):
                return NOT_FOUND
            self.dropped += 1
            self.tell(mailbox, found.name, message, b"dropped", reason)
            return BURIED
        block = dead_block(message.header, mailbox.address, found.name, reason, text, deliveries)
        letter = dead_letter(found.rank, block, message)
        target = self.find_room(address, &letter)
        if target is None:
            return TARGET_FULL
        # Nothing is written from here on: both changes are in one batch.
        if not self.deleter.delete_found(mailbox, found):
            return NOT_FOUND
        self.adder.add(target, &letter)
        self.moved += 1
        self.tell(mailbox, found.name, message, b"dead_letter", reason)
        return BURIED

    cdef Mailbox find_room(self, bytes address, const NewMessage* message):
        """The mailbox for a dead letter, which is created if it does not exist. None if a limit refuses the
        letter."""
        cdef Mailbox target = self.mailbox_index.look_up(view_of(address))
        if self.accumulator.disk_full or self.accumulator.store_failed:
            return None
        if not self.adder.make_room(target, message) or self.accumulator.store_failed:
            return None
        return self.create(address) if target is None else target

    cdef bint add(
        self, bytes target, bytes address, uint64_t name, int rank, const StoredMessage* message,
        uint64_t deliveries
    ) except -1:
        """Add the dead letter of an expired message that the caller deletes. False if a limit refuses it."""
        cdef bytes block = dead_block(message.header, address, name, b"expired", None, deliveries)
        cdef NewMessage letter = dead_letter(rank, block, message)
        cdef Mailbox mailbox = self.find_room(target, &letter)
        if mailbox is None:
            return False
        self.adder.add(mailbox, &letter)
        self.moved += 1
        return True

    cdef int tell(
        self, Mailbox mailbox, uint64_t name, const StoredMessage* message, bytes event, bytes reason
    ) except -1:
        """Tell those who want to know that the message is dead, in the same commit."""
        cdef bytes details = b',"reason":"%b"' % reason
        cdef bytes log = None if mailbox.options is None else mailbox.options.receipts_to
        cdef bytes block
        if mailbox.wants_receipts(message.flags):
            block = to_bytes(message.header) if message.flags & HAS_RECEIPT_TO else None
            self.receipts.send(mailbox.address, log, name, block, DEAD, details)
        if self.events.watches(mailbox):
            self.events.note_message(mailbox, event, name, details)
        return 0
