"""Messages that replace others with the same key; the contract, and who uses it, is in replacer.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint64_t

from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.sip_hash cimport sip_hash
from mq9fast._core.base.view cimport View, view_of
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport BatchDeletes, FoundMessage
from mq9fast._core.commit.batch_puts cimport BatchPuts
from mq9fast._core.commit.commit_group cimport CommitGroup
from mq9fast._core.dropper cimport Dropper
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox.mailbox_keys cimport MailboxKeys
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, PendingWork
from mq9fast._core.storage.key_row cimport key_of_row, unpack_key_row
from mq9fast._core.storage.record cimport StoredMessage, message_key, unpack_message
from mq9fast._core.storage.row_format cimport (
    DELAYED_RANK, KEYS_RANK, REPLACED_RANK, MessageKeyLayout, read_u64
)

cdef enum:
    # One call of `work_some` takes about so long.
    WORK_NS = 1_000_000
    # Rows that are examined between two looks at the clock.
    ROWS_AT_ONCE = 32


cdef class Replacer:
    """One for each broker. `hash_key`: the 16 secret bytes of the store, for the hashes of keys."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, PendingWork pending_work not None,
        Accumulator accumulator not None, Dropper dropper not None, bytes hash_key not None,
        *, store, finish_write,
    ):
        if len(hash_key) != 16:
            raise ValueError("the key has 16 bytes")
        self.mailbox_index = mailbox_index
        self.pending_work = pending_work
        self.accumulator = accumulator
        self.dropper = dropper
        self.hash_key.low = read_u64(PyBytes_AS_STRING(hash_key))
        self.hash_key.high = read_u64(PyBytes_AS_STRING(hash_key) + 8)
        self.store = store
        self.finish_write = finish_write
        self.held = {}
        self.stale = {}

    cdef int find(self, Mailbox mailbox, View key) except -1:
        """Find the message that has the key. Raises what the store raises."""
        cdef BatchPuts puts = self.accumulator.group.puts
        cdef Py_ssize_t index
        self.mailbox = None
        self.has_old = self.is_held = False
        self.old.found.size = 0
        self.row_key = key_of_row(mailbox.uid, sip_hash(key, self.hash_key))
        found = self.accumulator.group.keys.get(self.row_key)
        self.has_row = found is not None
        if isinstance(found, tuple):
            self.find_delayed(mailbox, found[0], found[1])
        elif found is not None:
            index = found
            if puts.messages[index].size:
                self.has_old = True
                self.old.found.rank = puts.rank_of(index)
                self.old.found.place = puts.messages[index].msg_id
                self.old.unwritten = index
                self.old.found.size = puts.content_size(index)
        elif mailbox.keys is not None:
            if self.accumulator.is_writing():
                self.finish_write()
            self.find_row(mailbox)
        self.frees_space = self.has_old and not self.is_held
        self.mailbox = mailbox
        return 0

    cdef int find_row(self, Mailbox mailbox) except -1:
        """Find the message by the row of the key in the store."""
        cdef BatchDeletes deletes = self.accumulator.group.deletes
        cdef bytes value = self.store.get(self.row_key)
        cdef uint64_t msg_id = 0
        cdef int rank = 0
        self.pending_work.cost += CLOCK_CHECK_COST
        if value is None:
            return 0
        self.has_row = True
        unpack_key_row(value, &rank, &msg_id)
        if rank >= DELAYED_RANK:
            return self.find_delayed(mailbox, rank, msg_id)
        self.old.unwritten = -1
        self.has_old = deletes.find_live(mailbox.uid, rank, msg_id, self.store, &self.old.found)
        self.is_held = self.has_old and self.dropper.is_held(mailbox, msg_id)
        return 0

    cdef int find_delayed(self, Mailbox mailbox, int kind, uint64_t msg_id) except -1:
        """Find the message by a row that names a delayed one."""
        cdef StoredMessage message
        cdef bytes value = self.dropper.delayed.read(mailbox, kind, msg_id)
        if value is None:
            return 0
        unpack_message(view_of(value), &message)
        self.has_old = True
        self.old.unwritten = -1
        self.old.found.rank = kind
        self.old.found.place = msg_id
        self.old.found.size = <uint64_t>(message.header.size + message.payload.size)
        return 0

    cdef void spare(self, int kind, uint64_t msg_id) noexcept:
        """A delayed message takes its place: if `find` found that message, it found none."""
        if self.has_old and self.old.found.rank == kind and self.old.found.place == msg_id:
            self.has_old = self.frees_space = False

    cdef int replace(self, Mailbox mailbox, View key) except -1:
        """Drop the message that `find` found. If a member has it, note that no other member may get it."""
        if self.mailbox is not mailbox:
            # The mailbox was made after `find`.
            self.find(mailbox, key)
        self.mailbox = None
        if mailbox.keys is None:
            mailbox.keys = MailboxKeys()
        if not self.has_old:
            return 0
        if self.old.found.rank >= DELAYED_RANK:
            self.dropper.drop_delayed(mailbox, self.old.found.rank, self.old.found.place)
        elif self.old.unwritten >= 0:
            if self.accumulator.group.puts.messages[self.old.unwritten].size:
                self.dropper.drop_unwritten(mailbox, self.old.found.rank, self.old.unwritten)
        elif self.is_held:
            mailbox.keys.replaced[self.old.found.place] = self.old.found.rank
            self.accumulator.group.put_raw(
                message_key(mailbox.uid, REPLACED_RANK, self.old.found.place), bytes((self.old.found.rank,))
            )
            # If the fsync fails, the old message may count as replaced all the same: the new one has to stay.
            self.accumulator.group.replacing.add(mailbox.uid)
            self.held[mailbox] = None
        else:
            self.dropper.drop_stored(mailbox, &self.old.found)
        return 0

    cdef int remember(self, Mailbox mailbox, owner) except -1:
        """A message that was just added to the commit group has the key: `owner` is its index in the group's
        `puts`, or (kind, msg_id) of a delayed message."""
        self.accumulator.group.keys[self.row_key] = owner
        if not self.has_row:
            mailbox.keys.rows += 1
            self.mailbox_index.queue_if_stale_keys(mailbox)
        return 0

    def find_key(self, Mailbox mailbox not None, bytes key not None):
        """The rank and id of the message that has a key, or None. It may not be durable, or be deleted. The
        rank of a delayed one is DELAYED_RANK more. Raises what the store raises."""
        cdef int rank = 0
        cdef uint64_t msg_id = 0
        value = None
        if mailbox.keys is not None:
            value = self.store.get(key_of_row(mailbox.uid, sip_hash(view_of(key), self.hash_key)))
        if value is None:
            return None
        unpack_key_row(value, &rank, &msg_id)
        return rank, msg_id

    # For housekeeping.

    def load(self) -> None:
        """Load which messages are replaced that members of an earlier broker held. Note which mailboxes have
        work for `work_some`. Raises what the store raises."""
        cdef Mailbox mailbox
        while self.mailbox_index.keys_to_check:
            mailbox = self.mailbox_index.keys_to_check[0]
            if mailbox.exists and mailbox.keys is not None:
                if mailbox.keys.uncertain:
                    self.check_keys(mailbox)
                if len(mailbox.keys.replaced):
                    self.held[mailbox] = None
                mailbox.keys.queued = mailbox.has_stale_keys()
                if mailbox.keys.queued:
                    self.stale[mailbox] = None
            del self.mailbox_index.keys_to_check[0]

    cdef int check_keys(self, Mailbox mailbox) except -1:
        cdef MailboxKeys keys = mailbox.keys
        cdef bytes key, value
        cdef dict found = {}
        end = message_key(mailbox.uid, REPLACED_RANK + 1, 0)
        for key, value in self.store.scan(message_key(mailbox.uid, REPLACED_RANK, 0), end):
            found[read_u64((<const MessageKeyLayout*>PyBytes_AS_STRING(key)).msg_id)] = value[0]
        keys.replaced = found
        keys.uncertain = False
        return 0

    def work_some(self) -> bool:
        """Drop replaced messages that members gave back, and rows of keys without a message, for a short
        time. Returns whether there is more to do at once. Raises what the store raises."""
        cdef uint64_t end_ns = monotonic_ns() + WORK_NS
        cdef Mailbox mailbox
        if self.accumulator.store_failed:
            return False
        if self.accumulator.is_writing() and (self.held or self.stale):
            self.finish_write()
        if self.mailbox_index.keys_to_check:
            self.load()
        for mailbox in list(self.held):
            self.drop_returned(mailbox)
        while self.stale:
            mailbox = next(iter(self.stale))
            if not mailbox.exists or mailbox.keys is None or self.sweep(mailbox):
                del self.stale[mailbox]
                self.sweep_at = None
                if mailbox.keys is not None:
                    mailbox.keys.queued = False
            if monotonic_ns() >= end_ns:
                break
        return len(self.stale) > 0

    cdef int drop_returned(self, Mailbox mailbox) except -1:
        """Drop the replaced messages of a mailbox that no member has any more."""
        cdef BatchDeletes deletes = self.accumulator.group.deletes
        cdef FoundMessage found
        cdef uint64_t msg_id
        cdef int rank
        if mailbox.exists and mailbox.keys is not None:
            for msg_id, rank in list(mailbox.keys.replaced.items()):
                if self.dropper.is_held(mailbox, msg_id):
                    continue
                if deletes.find_live(mailbox.uid, rank, msg_id, self.store, &found):
                    self.dropper.drop_stored(mailbox, &found)
                self.forget(mailbox, msg_id)
                self.dropper.tell_all()
            if len(mailbox.keys.replaced):
                return 0
        del self.held[mailbox]
        return 0

    cdef int forget(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """A replaced message is gone."""
        del mailbox.keys.replaced[msg_id]
        self.accumulator.group.delete_raw(message_key(mailbox.uid, REPLACED_RANK, msg_id))
        return self.accumulator.group.touch(mailbox)

    cdef bint is_live(self, Mailbox mailbox, int rank, uint64_t msg_id) except -1:
        """Whether the message that a row names is still there."""
        cdef FoundMessage found
        if rank >= DELAYED_RANK:
            return self.dropper.delayed.read(mailbox, rank, msg_id) is not None
        return self.accumulator.group.deletes.find_live(mailbox.uid, rank, msg_id, self.store, &found)

    cdef bint sweep(self, Mailbox mailbox) except -1:
        """Delete some rows of keys whose messages are gone. Returns whether all rows were examined."""
        cdef CommitGroup group = self.accumulator.group
        cdef bytes key, value
        cdef uint64_t msg_id = 0
        cdef int rank = 0
        cdef Py_ssize_t left = ROWS_AT_ONCE
        end = message_key(mailbox.uid, KEYS_RANK + 1, 0)
        first = message_key(mailbox.uid, KEYS_RANK, 0) if self.sweep_at is None else self.sweep_at
        for key, value in self.store.scan(first, end):
            if left == 0:
                self.sweep_at = key
                return False
            left -= 1
            unpack_key_row(value, &rank, &msg_id)
            if key in group.keys or self.is_live(mailbox, rank, msg_id):
                continue
            group.delete_raw(key)
            group.touch(mailbox)
            # Not 0, which would mean that there are no rows.
            mailbox.keys.rows = max(<uint64_t>1, mailbox.keys.rows - 1)
        return True
