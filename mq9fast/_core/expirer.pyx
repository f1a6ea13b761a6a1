"""Removes expired messages; the contract is in expirer.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.mailbox.lives cimport Lives
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.mailbox.stored_messages cimport durable_messages
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.expiry_rule cimport is_exempt
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatchReader, RecordLocation

cdef enum:
    # One call of `work_some` takes about so long.
    WORK_NS = 2_000_000
    # Messages between two looks at the clock.
    MESSAGES_AT_ONCE = 64

cdef extern from *:
    const uint64_t NEVER "UINT64_MAX"


cdef class Expirer:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None, Deleter deleter not None,
        *, store,
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.deleter = deleter
        self.store = store

    def work_some(self) -> bool:
        """Remove expired messages for a short time. Returns whether there is more to do.

        Raises what the store raises, and CorruptRecord. A mailbox that cannot be read is tried again later.
        """
        cdef MailboxIndex index = self.mailbox_index
        cdef uint64_t end_ns = monotonic_ns() + WORK_NS
        cdef HeapItem* item
        cdef Mailbox mailbox
        while not self.accumulator.store_failed:
            item = index.fronts.first()
            if item is NULL or item.major > index.expiry_clock_ms:
                return False
            mailbox = <Mailbox>item.owner
            # Should reading fail, the others come first.
            index.schedule_front(mailbox, index.expiry_clock_ms + 1000)
            if index.is_visible(mailbox) and not mailbox.needs_reload:
                self.expire_first(mailbox, end_ns)
            if monotonic_ns() >= end_ns:
                return True
        return False

    cdef bint expire_first(self, Mailbox mailbox, uint64_t end_ns) except -1:
        """Expire the first messages of each rank that are past max_age, until a time. Schedules the next."""
        cdef uint64_t next_ms = NEVER
        cdef int rank
        for rank in range(RANKS):
            next_ms = min(next_ms, self.expire_first_of(mailbox, rank, end_ns))
        if next_ms == NEVER and mailbox.durable_id < mailbox.next_id:
            # Those that are not durable yet.
            next_ms = self.mailbox_index.expiry_clock_ms + 1
        if next_ms == NEVER:
            self.mailbox_index.fronts.remove(&mailbox.lives.front)
            return False
        return self.mailbox_index.schedule_front(mailbox, next_ms)

    cdef uint64_t expire_first_of(self, Mailbox mailbox, int rank, uint64_t end_ns) except? 0:
        """Expire the first messages of a rank; returns when the next one is due, or earlier."""
        cdef Lives lives = mailbox.lives
        cdef RecordBatchReader reader
        cdef RecordLocation location
        cdef Py_ssize_t left = MESSAGES_AT_ONCE
        cdef bint all_gone = mailbox.head[rank] >= lives.passed[rank]
        reader = durable_messages(self.store, mailbox, rank, lives.passed[rank])
        if reader is None:
            return NEVER
        # Those that have expired are wanted.
        reader.rule = None
        while reader.next_message():
            if all_gone:
                # Ranks share ids, so the head may be far behind.
                mailbox.head[rank] = max(mailbox.head[rank], reader.msg_id)
            lives.passed[rank] = reader.msg_id
            if not lives.past_max_age(reader.message.created_ms):
                return reader.message.created_ms + lives.max_age_ms
            if left == 0:
                if monotonic_ns() >= end_ns:
                    return lives.clock.now_ms
                left = MESSAGES_AT_ONCE
            left -= 1
            if is_exempt(&reader.message):
                all_gone = False
            else:
                location = reader.batch.location(reader.index)
                self.expire(mailbox, rank, reader.msg_id, &location, &reader.message)
                lives.passed[rank] = reader.msg_id + 1
        return NEVER

    cdef bint expire(
        self, Mailbox mailbox, int rank, uint64_t msg_id, const RecordLocation* location,
        const StoredMessage* message,
    ) except -1:
        """Remove an expired message in the commit group; false if it is removed already. DANGER: `message`
        points into the row that was read."""
        cdef uint64_t size = <uint64_t>(message.header.size + message.payload.size)
        if not self.deleter.remove(mailbox, rank, msg_id, location, size):
            return False
        self.expired += 1
        return True
