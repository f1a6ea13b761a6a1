"""Failed deliveries of one mailbox; the contract, and who uses it, is in failed_deliveries.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Calloc, PyMem_Free
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.row_format cimport (
    FAILURE_BYTES, FAILURE_VERSION, FAILURES_RANK, FailureLayout, put_u32, put_u64, read_u32, read_u64
)

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    MIN_CAPACITY = 16
    # FailureLayout.flags.
    TERMINATED = 1
    FAILED_TOO_OFTEN = 2


cdef inline uint64_t first_slot(uint64_t msg_id, uint64_t capacity) noexcept:
    # Ids that follow each other go to different places.
    return ((msg_id * <uint64_t>0x9E3779B97F4A7C15) >> 32) & (capacity - 1)


cdef bytes failure_key(uint64_t uid, uint64_t msg_id):
    return message_key(uid, FAILURES_RANK, msg_id)


cdef bytes pack_failure(const Failure* failure, bint is_dead, bytes text):
    """The row of a message with failed deliveries. `text`: that of +TERM, or None."""
    cdef bytes value = PyBytes_FromStringAndSize(NULL, FAILURE_BYTES)
    cdef FailureLayout* fixed = <FailureLayout*>PyBytes_AS_STRING(value)
    fixed.version = FAILURE_VERSION
    fixed.flags = 0
    if is_dead:
        fixed.flags = FAILED_TOO_OFTEN if text is None else TERMINATED
    memset(fixed.reserved, 0, sizeof(fixed.reserved))
    put_u32(fixed.count, failure.count)
    put_u64(fixed.due_ms, failure.due_ms)
    return value if text is None else value + text


cdef bytes unpack_failure(bytes value, Failure* failure, bint* is_dead):
    """Read a row; returns the text of +TERM, or None. CorruptRecord if it is not such a row."""
    cdef const FailureLayout* fixed = <const FailureLayout*>PyBytes_AS_STRING(value)
    if PyBytes_GET_SIZE(value) < FAILURE_BYTES or <uint8_t>fixed.version != FAILURE_VERSION:
        raise CorruptRecord(f"a stored row of {len(value)} bytes is not a row of failed deliveries")
    if fixed.flags not in (0, TERMINATED, FAILED_TOO_OFTEN) or (
        fixed.flags != TERMINATED and PyBytes_GET_SIZE(value) > FAILURE_BYTES
    ):
        raise CorruptRecord("a row of failed deliveries has unknown flags")
    failure.count = read_u32(fixed.count)
    failure.due_ms = read_u64(fixed.due_ms)
    if failure.count == 0:
        raise CorruptRecord("a row of failed deliveries counts none")
    is_dead[0] = fixed.flags != 0
    return value[FAILURE_BYTES:] if fixed.flags == TERMINATED else None


cdef class FailedDeliveries:
    """A hash table by msg_id, with linear probing."""

    def __cinit__(self):
        self.dead = {}

    def __dealloc__(self):
        PyMem_Free(self.slots)

    cdef Failure* find(self, uint64_t msg_id) noexcept:
        """The entry of a message, or NULL. DANGER: valid until the next `add` or `remove`."""
        cdef uint64_t i
        if self.size == 0:
            return NULL
        i = first_slot(msg_id, self.capacity)
        while self.slots[i].count:
            if self.slots[i].msg_id == msg_id:
                return &self.slots[i]
            i = (i + 1) & (self.capacity - 1)
        return NULL

    cdef Failure* add(self, uint64_t msg_id) except NULL:
        """The entry of a message, which the caller then counts: a new one has the count 0."""
        cdef uint64_t i
        if 2 * self.size >= self.capacity:
            self.grow()
        i = first_slot(msg_id, self.capacity)
        while self.slots[i].count:
            if self.slots[i].msg_id == msg_id:
                return &self.slots[i]
            i = (i + 1) & (self.capacity - 1)
        self.slots[i].msg_id = msg_id
        self.slots[i].due_ms = 0
        self.size += 1
        return &self.slots[i]

    cdef void remove(self, uint64_t msg_id) noexcept:
        """Remove a message that has an entry. Those behind it that would not be found any more move up."""
        cdef Failure* found = self.find(msg_id)
        cdef uint64_t hole, i, wanted
        if found is NULL:
            return
        hole = <uint64_t>(found - self.slots)
        i = hole
        while True:
            i = (i + 1) & (self.capacity - 1)
            if self.slots[i].count == 0:
                break
            wanted = first_slot(self.slots[i].msg_id, self.capacity)
            if ((i - wanted) & (self.capacity - 1)) >= ((i - hole) & (self.capacity - 1)):
                self.slots[hole] = self.slots[i]
                hole = i
        self.slots[hole].count = 0
        self.size -= 1
        if self.dead:
            self.dead.pop(msg_id, None)

    cdef int grow(self) except -1:
        cdef uint64_t capacity = max(<uint64_t>MIN_CAPACITY, 2 * self.capacity)
        cdef Failure* slots = <Failure*>PyMem_Calloc(<size_t>capacity, sizeof(Failure))
        cdef Failure* old = self.slots
        cdef uint64_t i, at
        if slots is NULL:
            raise MemoryError
        for i in range(self.capacity):
            if old[i].count:
                at = first_slot(old[i].msg_id, capacity)
                while slots[at].count:
                    at = (at + 1) & (capacity - 1)
                slots[at] = old[i]
        check(self.size < capacity, b"a table of failed deliveries has free slots")
        PyMem_Free(old)
        self.slots = slots
        self.capacity = capacity
        return 0
