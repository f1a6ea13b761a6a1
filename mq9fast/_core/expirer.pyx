"""Does what is due; the contract is in expirer.pxd."""

from functools import partial

from libc.stdint cimport uint64_t

from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.agenda cimport Agenda
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.commit.commit_group cimport CommitGroup
from mq9fast._core.dead_letters cimport BURIED, TARGET_FULL, Burial, DeadLetters
from mq9fast._core.delayer cimport Delayer
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.consumer cimport Consumer
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox.stored_messages cimport durable_messages
from mq9fast._core.mailbox.times cimport Times
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.receipts cimport Receipts
from mq9fast._core.storage.due_row cimport DueRow, due_row_key, due_time_in, unpack_due_row
from mq9fast._core.storage.expiry_rule cimport is_exempt
from mq9fast._core.storage.record cimport StoredMessage, message_key, name_of
from mq9fast._core.storage.record_batch cimport RecordBatchReader, RecordLocation
from mq9fast._core.storage.row_format cimport DELAYED_RANK, DUE_ROWS, FAILURES_RANK, read_u64

from mq9fast._core.delivery.failures import failed_deliveries
from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    # One call of `work_some` takes about so long.
    WORK_NS = 2_000_000
    # Messages between two looks at the clock.
    MESSAGES_AT_ONCE = 64
    # A mailbox that could not be read is tried again after so long.
    RETRY_MS = 1000
    # The same for a message with a life of its own, if its mailbox for dead letters is full.
    RETRY_OWN_LIFE_MS = 10_000
    # Rows that a lookup passes over before it seeks.
    ROWS_TO_PASS = 8

cdef extern from *:
    const uint64_t NEVER "UINT64_MAX"


cdef bytes DUE_ROWS_END = bytes([DUE_ROWS + 1])


cdef class RowsInOrder:
    """Finds written messages of one rank by ids that ascend. If they are close together, it reads on."""

    def __cinit__(self, store, Mailbox mailbox not None, int rank):
        self.store = store
        self.mailbox = mailbox
        self.rank = rank

    cdef int find(self, uint64_t msg_id) except -2:
        """The index of the message in `reader.batch`, or -1."""
        cdef int passed = 0
        cdef uint64_t uid = self.mailbox.uid
        while True:
            if self.reader is None or passed == ROWS_TO_PASS:
                passed = 0
                first, end = message_key(uid, self.rank, msg_id), message_key(uid, self.rank + 1, 0)
                self.reader = RecordBatchReader(self.store.scan(first, end), 0)
            elif self.reader.batch.count and self.reader.batch.row_id >= msg_id:
                return self.reader.batch.find(msg_id)
            elif self.is_at_end:
                return -1
            self.is_at_end = not self.reader.next_row()
            passed += 1


cdef class Expirer:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None, Deleter deleter not None,
        Delayer delayer not None, Receipts receipts not None, DeadLetters dead_letters not None,
        *, store, write_batch,
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.deleter = deleter
        self.receipts = receipts
        self.dead_letters = dead_letters
        self.delayer = delayer
        self.placed = set()
        self.unsettled = set()
        self.store = store
        self.write_batch = write_batch

    def work_some(self) -> bool:
        """Remove expired messages for a short time. Returns whether there is more to do.

        Raises what the store raises, and CorruptRecord. A mailbox that cannot be read is tried again later.
        """
        cdef uint64_t end_ns = monotonic_ns() + WORK_NS
        if self.accumulator.store_failed:
            return False
        return self.expire_fronts(end_ns) or self.do_due(end_ns)

    cdef bint expire_fronts(self, uint64_t end_ns) except -1:
        """Remove what is past max_age, until a time. Returns whether there is more."""
        cdef MailboxIndex index = self.mailbox_index
        cdef HeapItem* item
        cdef Mailbox mailbox
        while True:
            item = index.fronts.heap.first()
            if item is NULL or item.major > index.expiry_clock_ms:
                return False
            mailbox = <Mailbox>item.owner
            # Should reading fail, the others come first.
            mailbox.times.has_kept = True
            index.fronts.schedule(mailbox.times, index.expiry_clock_ms + RETRY_MS)
            if index.is_visible(mailbox) and not mailbox.needs_reload:
                self.expire_first(mailbox, end_ns)
            if monotonic_ns() >= end_ns:
                return True

    cdef int expire_first(self, Mailbox mailbox, uint64_t end_ns) except -1:
        """Expire the first messages of each rank that are past max_age, until a time. Schedules the next."""
        cdef uint64_t next_ms = NEVER
        cdef int rank
        self.has_kept = False
        for rank in range(RANKS):
            next_ms = min(next_ms, self.expire_first_of(mailbox, rank, end_ns))
        mailbox.times.has_kept = self.has_kept
        if next_ms == NEVER and mailbox.durable_id < mailbox.next_id:
            # Those that are not durable yet.
            next_ms = self.mailbox_index.expiry_clock_ms + 1
        if next_ms == NEVER:
            self.mailbox_index.fronts.drop(mailbox.times)
            return 0
        return self.mailbox_index.fronts.schedule(mailbox.times, next_ms)

    cdef uint64_t expire_first_of(self, Mailbox mailbox, int rank, uint64_t end_ns) except? 0:
        """Expire the first messages of a rank; returns when the next one is due, or earlier."""
        cdef Times times = mailbox.times
        cdef RecordBatchReader reader
        cdef RecordLocation location
        cdef Py_ssize_t left = MESSAGES_AT_ONCE
        cdef bint all_gone = mailbox.head[rank] >= times.passed[rank]
        reader = durable_messages(self.store, mailbox, rank, times.passed[rank])
        if reader is None:
            return NEVER
        # Those that have expired are wanted.
        reader.rule = None
        while reader.next_message():
            if all_gone:
                # Ranks share ids, so the head may be far behind.
                mailbox.head[rank] = max(mailbox.head[rank], reader.msg_id)
            times.passed[rank] = reader.msg_id
            if not times.past_max_age(reader.message.created_ms):
                return reader.message.created_ms + times.max_age_ms + 1
            if left == 0:
                if monotonic_ns() >= end_ns:
                    return times.clock.now_ms
                left = MESSAGES_AT_ONCE
            left -= 1
            if is_exempt(&reader.message):
                all_gone = False
            else:
                location = reader.batch.location(reader.index)
                if self.expire(mailbox, rank, reader.msg_id, &location, &reader.message) == KEPT:
                    self.has_kept = True
                    return times.clock.now_ms + RETRY_MS
                times.passed[rank] = reader.msg_id + 1
        return NEVER

    cdef bint do_due(self, uint64_t end_ns) except -1:
        """Work off the agenda, until a time. Returns whether there is more."""
        cdef CommitGroup group = self.accumulator.group
        if group.agenda.next_ms > self.mailbox_index.expiry_clock_ms:
            return False
        self.settle()
        # What is deleted must not be found again.
        self.write_batch()
        if self.accumulator.store_failed:
            return False
        group.placing = True
        try:
            return self.do_rows(group.agenda, end_ns)
        finally:
            self.write_places()
            group.placing = False

    cdef bint do_rows(self, Agenda agenda, uint64_t end_ns) except -1:
        """Work off due rows, until a time. Returns whether there are more."""
        cdef uint64_t now_ms = self.mailbox_index.expiry_clock_ms
        cdef uint64_t next_ms = NEVER
        cdef uint64_t due_ms
        cdef bint is_up = False
        cdef bytes key, value
        failure = None
        for key, value in self.store.scan(due_row_key(agenda.next_ms, 0, 0), DUE_ROWS_END):
            due_ms = due_time_in(key)
            is_up = monotonic_ns() >= end_ns
            try:
                if due_ms > now_ms or is_up or not self.do_row(key, value):
                    next_ms = due_ms
                    break
            except CorruptRecord as error:
                # The row stays. Those behind it are not held up.
                failure = error
        agenda.next_ms = next_ms
        if failure is not None:
            raise failure
        return is_up

    cdef bint do_row(self, bytes key, bytes value) except -1:
        """Do what one due row says, and delete it. False if its mailbox cannot be read now."""
        cdef DueRow row
        cdef Mailbox mailbox
        cdef Py_ssize_t i
        unpack_due_row(key, value, &row)
        mailbox = self.mailbox_index.look_up(row.address)
        if mailbox is not None and mailbox.uid == row.uid:
            if mailbox.needs_reload:
                return False
            try:
                for i in range(row.count):
                    self.do_message(mailbox, <int>row.entries[i].kind, read_u64(row.entries[i].msg_id))
            finally:
                # An iterator that outlives this callback would keep the store open.
                self.rows = None
        self.accumulator.group.delete_raw(key)
        return True

    cdef int do_message(self, Mailbox mailbox, int kind, uint64_t msg_id) except -1:
        """Do what a due row says of one message."""
        if kind == FAILURES_RANK:
            return self.dead_letters.retry(mailbox)
        if mailbox.times is None:
            return 0
        if kind < RANKS:
            return self.expire_own_life(mailbox, kind, msg_id)
        if DELAYED_RANK <= kind < DELAYED_RANK + RANKS and mailbox.times.delayed:
            if self.delayer.place(mailbox, kind - DELAYED_RANK, msg_id):
                self.placed.add(mailbox)
        return 0

    cdef int expire_own_life(self, Mailbox mailbox, int rank, uint64_t msg_id) except -1:
        """The life of a message has ended. It may be deleted already."""
        cdef StoredMessage message
        cdef RecordLocation location
        cdef int index
        if mailbox.count[rank] == 0 or msg_id < mailbox.head[rank]:
            return 0
        if self.rows is None or self.rows.rank != rank:
            self.rows = RowsInOrder(self.store, mailbox, rank)
        index = self.rows.find(msg_id)
        if index < 0:
            return 0
        self.rows.reader.batch.read(index, &message)
        if mailbox.times.has_expired(&message):
            location = self.rows.reader.batch.location(index)
            if self.expire(mailbox, rank, msg_id, &location, &message) == KEPT:
                # A due row of its own says when to try again. There may be very many.
                self.accumulator.group.agenda.add(
                    mailbox, rank, msg_id, self.mailbox_index.expiry_clock_ms + RETRY_OWN_LIFE_MS
                )
        return 0

    cdef int write_places(self) except -1:
        """Write the batch with new places. If it is stored, they stay, although the commit group fails: the
        senders of the messages were told that these are durable."""
        self.accumulator.group.defer(partial(self.note_written, frozenset(self.placed)))
        if not self.placed:
            return 0
        self.placed.clear()
        self.write_batch()
        return 0

    def note_written(self, mailboxes, bint durable) -> None:
        """A commit group with work of the agenda is durable, or has failed: then it is done again."""
        if not durable:
            self.accumulator.group.agenda.next_ms = 0
            self.unsettled.update(mailboxes)

    cdef int settle(self) except -1:
        """Places of failed commit groups that are stored become durable now, and are delivered."""
        cdef Mailbox mailbox
        cdef Consumer consumer
        if not self.unsettled:
            return 0
        self.accumulator.group.defer(partial(self.note_written, frozenset(self.unsettled)))
        for mailbox in self.unsettled:
            if mailbox.exists:
                self.accumulator.group.touch(mailbox)
                for consumer in mailbox.consumers or ():
                    consumer.caught_up = False
        self.unsettled.clear()
        return 0

    cdef Removal expire(
        self, Mailbox mailbox, int rank, uint64_t msg_id, const RecordLocation* location,
        const StoredMessage* message,
    ) except *:
        """Remove an expired message in the commit group. DANGER: `message` points into the row that was
        read."""
        cdef FoundMessage found
        cdef Burial outcome
        found.place = msg_id
        found.name = name_of(message, msg_id)
        found.rank = rank
        found.flags = message.flags
        found.size = <uint64_t>(message.header.size + message.payload.size)
        found.location = location[0]
        if mailbox.options is not None and mailbox.options.dead_letter_expired:
            if self.accumulator.group.deletes.is_deleted(mailbox.uid, rank, location, self.store):
                return GONE
            outcome = self.dead_letters.bury_found(
                mailbox, &found, message, b"expired", None, failed_deliveries(self.store, mailbox, msg_id)
            )
            if outcome == TARGET_FULL:
                return KEPT
            self.expired += outcome == BURIED
            return REMOVED if outcome == BURIED else GONE
        if not self.deleter.delete_found(mailbox, &found):
            return GONE
        self.expired += 1
        self.receipts.expire(mailbox, found.name, message)
        return REMOVED
