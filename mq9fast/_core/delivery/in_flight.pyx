"""The messages that a queue group has given out; the contract is in in_flight.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.base.heap cimport Heap
from mq9fast._core.base.memory cimport PyMem_Calloc, PyMem_Free
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.record_batch cimport RecordLocation

cdef enum:
    MIN_CAPACITY = 16


cdef inline void check_links(const InFlight* entry, const InFlightList* member_of) noexcept:
    check(member_of is not NULL and member_of.count > 0, b"an entry to remove is in its member's list")
    check((entry.previous is NULL) == (member_of.first == entry), b"the first entry has none before it")
    check(
        (entry.previous is NULL or entry.previous.next == entry)
        and (entry.next is NULL or entry.next.previous == entry),
        b"neighbours in a member's list point to each other",
    )


cdef inline void unlink(InFlight* entry, InFlightList* member_of) noexcept:
    """Remove an entry from its member's list, if it has a member."""
    if entry.member is NULL:
        return
    check_links(entry, member_of)
    if entry.previous is not NULL:
        entry.previous.next = entry.next
    else:
        member_of.first = entry.next
    if entry.next is not NULL:
        entry.next.previous = entry.previous
    else:
        member_of.last = entry.previous
    member_of.count -= 1
    if entry.state == HELD:
        member_of.unanswered -= 1
    entry.member = NULL
    entry.previous = entry.next = NULL
    check((member_of.first is NULL) == (member_of.count == 0), b"a member's list is as long as its count")
    check(member_of.unanswered <= <uint64_t>member_of.count, b"a member's list has what it did not answer")


cdef class InFlightTable:
    """A hash table of entries by msg_id, with a heap per rank of those that were returned."""

    def __cinit__(self, Mailbox mailbox not None):
        self.mailbox = mailbox
        self.critical = Heap()
        self.urgent = Heap()
        self.normal = Heap()

    def __dealloc__(self):
        self.free_entries()

    cdef InFlight* find(self, uint64_t msg_id) noexcept:
        cdef InFlight* entry
        if self.size == 0:
            return NULL
        entry = self.buckets[msg_id & <uint64_t>(self.capacity - 1)]
        while entry is not NULL and entry.item.minor != msg_id:
            entry = entry.chain
        check(
            entry is NULL or (entry.state in (UNSTORED, WAITING, RETURNED)) == (entry.item.slot >= 0),
            b"entries that wait, and no others, are in a heap",
        )
        return entry

    cdef InFlight* add(self, int rank, uint64_t msg_id, uint64_t size, RecordLocation location) except NULL:
        """Add an entry without a member, for a message that has no entry yet."""
        cdef InFlight* entry
        cdef InFlight** bucket
        if CHECKED:
            check(self.find(msg_id) is NULL, b"a message is in flight once in a group")
        if self.size == self.capacity:
            self.resize()
        entry = <InFlight*>PyMem_Calloc(1, sizeof(InFlight))
        if entry is NULL:
            raise MemoryError
        entry.rank = <uint8_t>rank
        entry.item.minor = msg_id
        entry.item.slot = -1
        entry.item.owner = entry
        entry.size = <uint32_t>size
        entry.location = location
        bucket = &self.buckets[msg_id & <uint64_t>(self.capacity - 1)]
        entry.chain = bucket[0]
        bucket[0] = entry
        self.size += 1
        return entry

    cdef void drop(self, InFlight* entry, InFlightList* member_of) noexcept:
        """Remove and free an entry. `member_of` is its member's list, or NULL if it has no member."""
        cdef InFlight** link = &self.buckets[entry.item.minor & <uint64_t>(self.capacity - 1)]
        while link[0] != entry:
            check(link[0] is not NULL, b"an entry is in the bucket of its id")
            link = &link[0].chain
        link[0] = entry.chain
        unlink(entry, member_of)
        self.take_out(entry)
        PyMem_Free(entry)
        self.size -= 1

    cdef void give(
        self, InFlight* entry, void* member, InFlightList* member_of, uint64_t now_ms
    ) noexcept:
        """Give an entry without a member to a member. `member_of` is the member's list."""
        check(
            entry.member is NULL and entry.previous is NULL and entry.next is NULL,
            b"an entry is in the list of one member at most",
        )
        check(entry.state != DELETING, b"a message that is being deleted is given to no member")
        self.take_out(entry)
        entry.state = HELD
        entry.asked_ms = 0
        entry.item.major = now_ms
        entry.member = member
        entry.next = member_of.first
        if member_of.first is not NULL:
            member_of.first.previous = entry
        else:
            member_of.last = entry
        member_of.first = entry
        member_of.count += 1
        member_of.unanswered += 1

    cdef void prolong(self, InFlight* entry, InFlightList* member_of, uint64_t now_ms) noexcept:
        """An entry that is HELD counts as given now."""
        cdef void* member = entry.member
        unlink(entry, member_of)
        self.give(entry, member, member_of, now_ms)

    cdef void begin_deletion(self, InFlight* entry, InFlightList* member_of) noexcept:
        """The message was answered. `member_of` is the list of its member, or NULL if it has no member."""
        self.take_out(entry)
        if member_of is not NULL:
            member_of.unanswered -= 1
        entry.former = entry.state
        entry.state = DELETING

    cdef void deletion_failed(self, InFlight* entry, InFlightList* member_of) noexcept:
        """The member of `member_of` holds the message again."""
        entry.state = HELD
        member_of.unanswered += 1

    cdef int return_to_group(self, InFlight* entry, InFlightList* member_of) except -1:
        """Remove an entry from its member's list. It waits in the heap for another, unless it is DELETING."""
        unlink(entry, member_of)
        if entry.state == DELETING:
            return 0
        self.take_out(entry)
        entry.state = RETURNED
        self.mailbox.passed_over = False
        entry.item.major = <uint64_t>entry.rank
        return self.returned(entry.item.major).push(&entry.item)

    cdef int add_heaps(self) except -1:
        if self.unstored is None:
            self.unstored = Heap()
            self.waiting = Heap()
        return 0

    cdef int fail(self, InFlight* entry, InFlightList* member_of) except -1:
        """The delivery of an entry that was HELD or STORING failed, which is to be stored."""
        self.add_heaps()
        unlink(entry, member_of)
        self.take_out(entry)
        entry.state = UNSTORED
        self.mailbox.passed_over = False
        self.returning[entry.rank] += 1
        entry.item.major = <uint64_t>entry.rank
        return self.unstored.push(&entry.item)

    cdef void begin_storing(self, InFlight* entry, bint waits) noexcept:
        """A commit group stores an UNSTORED entry. `waits`: it will wait for its time after that."""
        self.take_out(entry)
        entry.state = STORING
        entry.item.major = waits
        self.storing += 1
        if not waits:
            self.returning[entry.rank] += 1

    cdef int wait(self, InFlight* entry, uint64_t due_ms) except -1:
        """An entry without a member waits until `due_ms`."""
        self.add_heaps()
        self.take_out(entry)
        entry.state = WAITING
        entry.item.major = due_ms
        return self.waiting.push(&entry.item)

    cdef void take_out(self, InFlight* entry) noexcept:
        """Remove an entry from the heap in which its state has it, if any. The caller sets another state."""
        if entry.state == HELD or entry.state == DELETING:
            return
        if entry.state == RETURNED:
            self.returned(<uint64_t>entry.rank).remove(&entry.item)
        elif entry.state == UNSTORED:
            self.unstored.remove(&entry.item)
            self.returning[entry.rank] -= 1
        elif entry.state == WAITING:
            self.waiting.remove(&entry.item)
        elif entry.state == STORING:
            self.storing -= 1
            if not entry.item.major:
                self.returning[entry.rank] -= 1

    cdef void clear(self) noexcept:
        """Remove and free all entries. DANGER: the caller must then empty the lists of the members."""
        self.free_entries()
        self.critical.size = self.urgent.size = self.normal.size = 0
        if self.unstored is not None:
            self.unstored.size = self.waiting.size = self.storing = 0
            self.returning[0] = self.returning[1] = self.returning[2] = 0

    cdef void free_entries(self) noexcept:
        cdef Py_ssize_t i
        cdef InFlight* entry
        cdef InFlight* following
        cdef Py_ssize_t found = 0
        for i in range(self.capacity):
            entry = self.buckets[i]
            while entry is not NULL:
                following = entry.chain
                PyMem_Free(entry)
                entry = following
                found += 1
        check(found == self.size, b"a table knows how many entries it has")
        PyMem_Free(self.buckets)
        self.buckets = NULL
        self.capacity = self.size = 0

    cdef int resize(self) except -1:
        cdef Py_ssize_t capacity = max(MIN_CAPACITY, self.capacity * 2)
        cdef InFlight** buckets = <InFlight**>PyMem_Calloc(<size_t>capacity, sizeof(InFlight*))
        cdef Py_ssize_t i
        cdef InFlight* entry
        cdef InFlight* following
        cdef InFlight** bucket
        if buckets is NULL:
            raise MemoryError
        for i in range(self.capacity):
            entry = self.buckets[i]
            while entry is not NULL:
                following = entry.chain
                bucket = &buckets[entry.item.minor & <uint64_t>(capacity - 1)]
                entry.chain = bucket[0]
                bucket[0] = entry
                entry = following
        PyMem_Free(self.buckets)
        self.buckets = buckets
        self.capacity = capacity
        return 0
