"""Remembers the ids of messages; the contract, and who uses it, is in deduplicator.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint64_t

from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.base.sip_hash cimport Hash128, sip_hash
from mq9fast._core.base.view cimport View
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.commit_group cimport CommitGroup
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox.remembered_ids cimport RememberedIds
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, PendingWork
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.row_format cimport IDS_RANK, MessageKeyLayout, read_u64

cdef enum:
    # One call of `work_some` takes about so long.
    WORK_NS = 1_000_000
    # Rows that are loaded or forgotten between two looks at the clock.
    ROWS_AT_ONCE = 4
    ALL_ROWS = 1 << 30


cdef class Deduplicator:
    """One for each broker. `key`: the 16 secret bytes of the store, for the hashes of ids."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, PendingWork pending_work not None,
        Accumulator accumulator not None, bytes key not None, *, store, write_batch,
    ):
        if len(key) != 16:
            raise ValueError("the key has 16 bytes")
        self.mailbox_index = mailbox_index
        self.pending_work = pending_work
        self.accumulator = accumulator
        self.key.low = read_u64(PyBytes_AS_STRING(key))
        self.key.high = read_u64(PyBytes_AS_STRING(key) + 8)
        self.store = store
        self.write_batch = write_batch

    cdef Hash128 hash_of(self, View id) noexcept:
        return sip_hash(id, self.key)

    cdef bint find(self, Mailbox mailbox, Hash128 hashed, uint64_t* msg_id) except -1:
        """Find the message that came with this id. Raises what the store raises."""
        cdef RememberedIds ids = mailbox.ids
        if mailbox.duplicate_window_ms() == 0:
            return False
        if mailbox.has_id_rows and (ids is None or not ids.loaded):
            self.pending_work.cost += CLOCK_CHECK_COST
            self.load_rows(mailbox, ALL_ROWS)
            ids = mailbox.ids
        return ids is not None and ids.find(hashed, self.mailbox_index.oldest_id_ms(mailbox), msg_id)

    cdef int remember(self, Mailbox mailbox, Hash128 hashed, uint64_t msg_id) except -1:
        """Remember the id of a message that was added to the commit group, after `find`."""
        if mailbox.duplicate_window_ms() == 0:
            return 0
        if mailbox.ids is None:
            mailbox.ids = RememberedIds(mailbox.uid)
            mailbox.ids.loaded = True
        mailbox.ids.add(hashed, msg_id)
        self.mailbox_index.remembered_ids += 1
        if mailbox.ids.expiry.slot < 0:
            self.mailbox_index.schedule_ids(mailbox)
        return 0

    cdef bint load_rows(self, Mailbox mailbox, Py_ssize_t most) except -1:
        """Load up to `most` rows of a mailbox. Returns whether all are loaded."""
        cdef RememberedIds ids = mailbox.ids
        cdef bytes key, value
        cdef uint64_t last_id
        # The current batch may delete rows of refused messages.
        self.write_batch()
        if ids is None:
            mailbox.ids = ids = RememberedIds(mailbox.uid)
        first, end = message_key(ids.uid, IDS_RANK, ids.next_row), message_key(ids.uid, IDS_RANK + 1, 0)
        for key, value in self.store.scan(first, end):
            if most == 0:
                return False
            last_id = read_u64((<const MessageKeyLayout*>PyBytes_AS_STRING(key)).msg_id)
            self.mailbox_index.remembered_ids += <uint64_t>ids.load_row(last_id, value)
            ids.next_row = last_id + 1
            most -= 1
        ids.loaded = True
        if ids.count():
            self.mailbox_index.schedule_ids(mailbox)
        else:
            self.forget_all(mailbox)
        return True

    cdef int forget_all(self, Mailbox mailbox) except -1:
        """Nothing is remembered of the mailbox any more, in memory and in the store."""
        self.mailbox_index.drop_ids(mailbox)
        mailbox.has_id_rows = False
        self.accumulator.group.touch(mailbox)
        return 0

    def work_some(self) -> bool:
        """Forget ids that are due and load ids of an earlier broker, for a short time. Returns whether there
        is more to do. Raises what the store raises."""
        cdef uint64_t end_ns = monotonic_ns() + WORK_NS
        while not self.accumulator.store_failed:
            if not self.forget_due() and not self.load_next():
                return False
            if monotonic_ns() >= end_ns:
                return True
        return False

    cdef bint forget_due(self) except -1:
        """Forget some ids of the mailbox whose ids are due next. False if none is due."""
        cdef MailboxIndex index = self.mailbox_index
        cdef CommitGroup group = self.accumulator.group
        cdef HeapItem* item = index.id_deadlines.first()
        cdef Mailbox mailbox
        cdef RememberedIds ids
        cdef Py_ssize_t before
        if item is NULL or item.major >= index.expiry_clock_ms:
            return False
        mailbox = <Mailbox>item.owner
        ids = mailbox.ids
        before = ids.count()
        for key in ids.drop_rows(index.oldest_id_ms(mailbox), ROWS_AT_ONCE):
            group.delete_raw(key)
            group.touch(mailbox)
        index.remembered_ids -= <uint64_t>(before - ids.count())
        if ids.count() == 0:
            self.forget_all(mailbox)
        else:
            index.schedule_ids(mailbox)
        return True

    cdef bint load_next(self) except -1:
        """Load some ids of the next mailbox that has any in the store only. False if there is none."""
        cdef Mailbox mailbox
        if not self.mailbox_index.ids_to_load:
            return False
        mailbox = self.mailbox_index.ids_to_load[0]
        if not mailbox.has_id_rows or not mailbox.exists or (mailbox.ids is not None and mailbox.ids.loaded):
            self.mailbox_index.ids_to_load.popleft()
        else:
            self.load_rows(mailbox, ROWS_AT_ONCE)
        return True
