"""Mailboxes in memory; see mailbox.pxd."""

from collections import deque
from itertools import islice

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport uint16_t, uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.heap cimport Heap, HeapItem
from mq9fast._core.base.view cimport View, same, slice_from, to_bytes, view, view_of
from mq9fast._core.mailbox.uid_set cimport UidSet
from mq9fast._core.protocol.address cimport valid_address
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport MailboxRecord, pack_mailbox, unpack_mailbox

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    LOADED_AT_ONCE = 16
    JUMP_BITS = 32            # a jump moves ids on by 1 << JUMP_BITS, behind any that are not known of


@cython.no_gc
cdef class Mailbox:
    """One mail_address. Not seen by the garbage collector, which a million of them would keep busy: whoever
    attaches a source detaches it."""

    def __cinit__(self, bytes address not None):
        self.address = address
        self.expiry.slot = -1
        self.expiry.owner = <void*>self

    @property
    def total_count(self) -> int:
        """Messages not deleted."""
        return self.total()

    @property
    def source_count(self) -> int:
        """Subscriptions and queue groups that read it."""
        return len(self.consumers) if self.consumers else 0

    @property
    def queue_groups(self) -> list:
        """The queue groups that read it."""
        return list(self.groups.values()) if self.groups else []

    def count_of(self, int rank) -> int:
        """Messages of one rank, 0 (critical) to 2 (normal); IndexError for another."""
        if not 0 <= rank < RANKS:
            raise IndexError(rank)
        return self.count[rank]

    cdef void begin(self, uint64_t uid, bint public, uint16_t jumps) noexcept:
        """Start a life: no messages, ids from 0, or from behind those of a life that was lost."""
        cdef int rank
        self.uid = uid
        self.live = True
        self.unsure = False
        self.public = public
        self.jumps = jumps
        self.next_id = self.written_id = self.durable_id = <uint64_t>jumps << JUMP_BITS
        for rank in range(RANKS):
            self.head[rank] = self.count[rank] = 0
            self.open_batch[rank] = 0
        self.size_bytes = self.dead_bytes = self.ttl_seconds = 0
        self.description = None

    cdef void load(self, const MailboxRecord* record, uint16_t jumps) noexcept:
        """Take over what is stored."""
        cdef int rank
        self.begin(record.uid, record.public, jumps)
        self.next_id = record.next_id
        if record.jumps < jumps:
            self.next_id += <uint64_t>(jumps - record.jumps) << JUMP_BITS
        self.written_id = self.durable_id = self.next_id
        self.renewed_ms = record.renewed_ms
        self.ttl_seconds = record.ttl_seconds
        for rank in range(RANKS):
            self.head[rank] = record.head[rank]
            self.count[rank] = record.count[rank]
        self.size_bytes = record.size_bytes
        self.dead_bytes = record.dead_bytes

    cdef bytes pack(self):
        """The record to store."""
        cdef MailboxRecord record
        cdef int rank
        record.public = self.public
        record.uid = self.uid
        record.next_id = self.next_id
        record.renewed_ms = self.renewed_ms
        record.ttl_seconds = self.ttl_seconds
        for rank in range(RANKS):
            record.head[rank] = self.head[rank]
            record.count[rank] = self.count[rank]
        record.size_bytes = self.size_bytes
        record.dead_bytes = self.dead_bytes
        record.jumps = self.jumps
        record.description = view(NULL, 0) if self.description is None else view_of(self.description)
        return pack_mailbox(&record)


cdef class MailboxIndex:
    """Every mailbox of a broker by address, and the deadlines of those that expire."""

    def __cinit__(self, uint64_t seed, uint64_t next_uid, uint16_t jumps=0):
        self.table = BytesMap(seed)
        self.deadlines = Heap()
        self.sparse = deque()
        self.next_uid = next_uid
        self.jumps = jumps

    cdef Mailbox look_up(self, View address):
        """The live mailbox of the address, or None. One past its deadline is not seen, swept or not."""
        cdef PyObject* found
        cdef Mailbox last = self.last
        if last is None or not last.live or not same(view_of(last.address), address):
            found = self.table.find(address)
            if found is NULL or not (<Mailbox>found).live:
                return None
            self.last = last = <Mailbox>found
        return None if last.past_deadline(self.judged_ms) else last

    cdef Mailbox look_up_or_make(self, View address):
        """The mailbox of the address: living, past its deadline, or waited for. See `sees`."""
        cdef PyObject* found = self.table.find(address)
        cdef Mailbox mailbox
        if found is not NULL:
            return <Mailbox>found
        mailbox = Mailbox(to_bytes(address))
        self.table.insert(mailbox.address, mailbox)
        return mailbox

    cdef int forget_if_unused(self, Mailbox mailbox) except -1:
        """Drop a mailbox that neither lives nor is waited for."""
        if not mailbox.live and not mailbox.consumers:
            self.table.remove(view_of(mailbox.address))
        return 0

    cdef int schedule(self, Mailbox mailbox) except -1:
        """Have the mailbox come up at its deadline. A later deadline than the one scheduled needs nothing."""
        cdef HeapItem* item = &mailbox.expiry
        if not mailbox.ttl_seconds:
            self.deadlines.remove(item)
        elif item.slot < 0:
            item.major = mailbox.deadline_ms()
            item.minor = mailbox.uid
            self.deadlines.push(item)
        elif mailbox.deadline_ms() < item.major:
            item.major = mailbox.deadline_ms()
            self.deadlines.restore_order(item)
        return 0

    cdef void added(self, Mailbox mailbox, int rank, uint64_t size) noexcept:
        mailbox.count[rank] += 1
        mailbox.size_bytes += size
        self.message_count += 1
        self.size_bytes += size

    cdef void removed(self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t size) noexcept:
        """Count a deleted message. A rank that is empty, or loses its first, has a later head."""
        mailbox.count[rank] -= 1
        mailbox.size_bytes -= size
        self.message_count -= 1
        self.size_bytes -= size
        if mailbox.count[rank] == 0:
            mailbox.head[rank] = mailbox.next_id
        elif mailbox.head[rank] == msg_id:
            mailbox.head[rank] = msg_id + 1

    cdef int note_maybe_sparse(self, Mailbox mailbox) except -1:
        """Put the mailbox on the list of those that may have runs to thin."""
        mailbox.sparse = True
        self.sparse.append(mailbox)
        return 0

    cdef void uncount(self, Mailbox mailbox) noexcept:
        self.live_count -= 1
        self.dead_bytes -= mailbox.dead_bytes
        self.message_count -= mailbox.total()
        self.size_bytes -= mailbox.size_bytes

    cdef void recount(self, Mailbox mailbox) noexcept:
        self.live_count += 1
        self.dead_bytes += mailbox.dead_bytes
        self.message_count += mailbox.total()
        self.size_bytes += mailbox.size_bytes

    def __iter__(self):
        """Iterate over a copy of the living mailboxes, in no order."""
        return iter([mailbox for mailbox in self.table if (<Mailbox>mailbox).live])

    @property
    def places(self) -> int:
        """Places for mailboxes; it changes when they are moved to more of them."""
        return self.table.capacity

    def addresses_behind(self, bytes after not None, bytes bound, Py_ssize_t place, Py_ssize_t most) -> list:
        """Of the `most` places before `place`, the addresses of living mailboxes that are behind `after` and,
        unless `bound` is None, before that. Who looks from the last place to the first misses none: a mailbox
        only moves forward, but for the few that lie around the end of the table."""
        cdef list found = []
        cdef Py_ssize_t i
        cdef bytes address
        for i in range(max(place - most, <Py_ssize_t>0), min(place, self.table.capacity)):
            if self.table.slots[i].key is NULL or not (<Mailbox>self.table.slots[i].value).live:
                continue
            address = <bytes>self.table.slots[i].key
            if address > after and (bound is None or address < bound):
                found.append(address)
        return found

    def get(self, bytes address not None):
        """The living mailbox of a valid address, or None."""
        return self.look_up(view_of(address))

    def get_expired(self, bytes address not None):
        """The mailbox of a valid address that is past its deadline and not yet ended, or None."""
        cdef PyObject* found = self.table.find(view_of(address))
        if found is NULL or not (<Mailbox>found).live or not (<Mailbox>found).past_deadline(self.judged_ms):
            return None
        return <Mailbox>found

    def load(self, rows, UidSet uids=None) -> None:
        """Take over stored mailboxes at the start: (key, record), a byte and the address being the key.

        Their uids are put into `uids`. CorruptRecord for what is no mailbox. Their places in a large table
        are all over the memory: some are fetched at a time, so that they are not waited for one by one.
        """
        cdef bytes key, record
        cdef list some
        cdef uint64_t uid
        rows = iter(rows)
        while some := list(islice(rows, LOADED_AT_ONCE)):
            for key, _ in some:
                self.table.prefetch(slice_from(view_of(key), 1))
            for key, record in some:
                uid = self.take_over(slice_from(view_of(key), 1), record)
                if uids is not None:
                    uids.put(uid)

    cdef uint64_t take_over(self, View address, bytes record) except? 0:
        """Returns the uid."""
        cdef MailboxRecord stored
        cdef Mailbox mailbox
        unpack_mailbox(record, &stored)
        if not valid_address(address):
            raise CorruptRecord(f"a mailbox is stored under {to_bytes(address)!r}, which is no address")
        mailbox = self.look_up_or_make(address)
        mailbox.load(&stored, self.jumps)
        mailbox.description = to_bytes(stored.description) if stored.description.size else None
        self.recount(mailbox)
        self.schedule(mailbox)
        self.note_sparse(mailbox)
        self.next_uid = max(self.next_uid, stored.uid + 1)
        self.newest_ms = max(self.newest_ms, stored.renewed_ms)
        return stored.uid

    def note_all_maybe_sparse(self) -> None:
        """Have all mailboxes with messages looked at for runs to thin: an older format did not count them."""
        cdef Mailbox mailbox
        for mailbox in self:
            if mailbox.total() and not mailbox.sparse:
                mailbox.maybe_sparse = True
                self.note_maybe_sparse(mailbox)

    def open(self, bytes address not None, bint public) -> Mailbox:
        """Begin a life at an address where none lives; it has no TTL yet. ValueError if one lives."""
        cdef Mailbox mailbox = self.look_up_or_make(view_of(address))
        if mailbox.live:
            raise ValueError("the mailbox lives")
        mailbox.begin(self.next_uid, public, self.jumps)
        self.next_uid += 1
        self.recount(mailbox)
        return mailbox

    def renew(self, Mailbox mailbox not None, ttl_seconds=None, bytes description=None) -> None:
        """Start the lifetime again, with another TTL (whole seconds, 0 = never) or description if given."""
        mailbox.renewed_ms = self.now_ms
        if ttl_seconds is not None:
            mailbox.ttl_seconds = ttl_seconds
        if description is not None:
            mailbox.description = description
        self.schedule(mailbox)

    def end(self, Mailbox mailbox not None) -> None:
        """End the life of a mailbox; its address is free again."""
        self.deadlines.remove(&mailbox.expiry)
        self.uncount(mailbox)
        mailbox.live = False
        self.last = None
        self.forget_if_unused(mailbox)

    def reload(self, Mailbox mailbox not None, bytes record) -> None:
        """Go back to what is stored (None: nothing) after a batch that failed. Ids given stay given."""
        cdef MailboxRecord stored
        cdef uint64_t next_id = mailbox.next_id
        cdef uint64_t durable_id = mailbox.durable_id
        if not mailbox.live:
            return
        if record is None:
            self.end(mailbox)
            return
        unpack_mailbox(record, &stored)
        self.uncount(mailbox)
        mailbox.load(&stored, self.jumps)
        mailbox.description = to_bytes(stored.description) if stored.description.size else None
        mailbox.next_id = mailbox.written_id = max(next_id, stored.next_id)
        mailbox.durable_id = durable_id
        self.recount(mailbox)
        self.schedule(mailbox)
        self.note_sparse(mailbox)

    def discount(self, Mailbox mailbox not None, int rank, uint64_t msg_id, uint64_t size) -> None:
        """A message that `reload` counted was refused, and is to be deleted. IndexError for no rank."""
        if not 0 <= rank < RANKS:
            raise IndexError(rank)
        self.removed(mailbox, rank, msg_id, size)

    def take_due(self, Py_ssize_t most) -> list:
        """At most `most` mailboxes past their deadline, taken off the schedule until renewed or ended."""
        cdef list due = []
        cdef HeapItem* item
        cdef Mailbox mailbox
        while len(due) < most:
            item = self.deadlines.first()
            if item is NULL or item.major > self.judged_ms:
                break
            mailbox = <Mailbox>item.owner
            if not mailbox.past_deadline(self.judged_ms):
                item.major = mailbox.deadline_ms()
                self.deadlines.restore_order(item)
                continue
            self.deadlines.remove(item)
            due.append(mailbox)
        return due

    def reserve_uids(self, uint64_t next_uid) -> None:
        """Never give a uid below `next_uid`."""
        self.next_uid = max(self.next_uid, next_uid)

    def jump_ids(self, uint16_t jumps) -> None:
        """Have the mailboxes that are made from now on begin with ids that were moved on `jumps` times."""
        self.jumps = max(self.jumps, jumps)

    def jump_uids(self, uint16_t made) -> None:
        """Never give a uid that may have been given unknown; `made` is `jumps` as stored with the uids."""
        if made < self.jumps:
            self.next_uid += <uint64_t>(self.jumps - made) << JUMP_BITS
