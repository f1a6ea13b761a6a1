"""A reader of RocksDB's log format: the files of its write-ahead log (WAL), and its MANIFEST.

The checks before a start use it (`storage/write_ahead_log.py`, `storage/manifest.py`), because RocksDB itself
opens a log with gaps without an error. It gets the bytes of a file and does not open files.

    block of 32,768 bytes: records, and at its end less than 7 bytes of zeros
    record:  crc32c(4) of type and payload, masked   length(2)   type(1)   payload; all little-endian
    type:    1 a whole payload (full); 2, 3 and 4 the first, middle and last fragments of one

A payload of the WAL is a write batch: sequence(8) count(4), then that many changes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from mq9fast._core.base.crc32c cimport crc32c

cdef enum:
    BLOCK = 32768
    HEADER = 7
    BATCH_HEADER = 12
    FULL = 1
    FIRST = 2
    MIDDLE = 3
    LAST = 4
    # Of a change in a write batch.
    DELETE = 0
    PUT = 1
    DELETE_RANGE = 15


cdef inline uint64_t read_little_endian(const char* at, int size) noexcept:
    cdef uint64_t n = 0
    memcpy(&n, at, size)
    return n


cdef inline bint is_record_at(const char* at, Py_ssize_t capacity) noexcept:
    """Whether a whole, valid record begins at `at`. `capacity`: bytes to the end of the block or file."""
    cdef Py_ssize_t size
    cdef uint32_t masked
    if capacity < HEADER or not FULL <= at[6] <= LAST:
        return False
    size = <Py_ssize_t>read_little_endian(at + 4, 2)
    if HEADER + size > capacity:
        return False
    masked = <uint32_t>read_little_endian(at, 4) - <uint32_t>0xA282EAD8
    return crc32c(at + 6, size + 1) == ((masked >> 17) | (masked << 15))


def starts_with_record(bytes data not None) -> bool:
    """Whether a whole, valid record is at the start of `data`, which is at most one block."""
    return is_record_at(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef class LogReader:
    """Reads one file in order, in pieces, up to the first bytes that are not a valid record.

    `end`: offset behind the last whole payload. `at`: offset of the next byte to feed. `torn`: reading
    stopped because the last record was not written completely.
    """

    cdef readonly long long end
    cdef readonly long long at
    cdef readonly bint torn
    cdef bint in_fragments            # the last record was a first or middle fragment
    cdef char head[BATCH_HEADER]      # the first bytes of the current payload
    cdef Py_ssize_t head_bytes
    cdef list parts                   # fragments of the current payload; None if only `head` is wanted

    cdef bint add_record(self, const char* payload, Py_ssize_t size, int kind) except -1:
        """Add a record to the current payload; false if it cannot follow the record before it."""
        cdef Py_ssize_t some
        if (kind == FULL or kind == FIRST) == self.in_fragments:
            return False
        if kind == FULL or kind == FIRST:
            self.head_bytes = 0
        some = min(size, BATCH_HEADER - self.head_bytes)
        if some > 0:
            memcpy(self.head + self.head_bytes, payload, some)
            self.head_bytes += some
        self.in_fragments = kind == FIRST or kind == MIDDLE
        if self.parts is not None:
            self.parts.append(PyBytes_FromStringAndSize(payload, size))
        return self.in_fragments or self.end_payload()

    cdef bint end_payload(self) except -1:
        """Called when a payload is complete; false to stop reading before it. Subclasses override it."""
        return True

    def feed(self, bytes data not None) -> bool:
        """Read the next piece of the file. Every piece except the last one consists of whole blocks.

        Returns False if reading stopped at `end`: the next record is invalid, or a payload is incomplete.
        """
        cdef const char* at = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t here = 0, capacity, length
        while here < size:
            capacity = min(BLOCK - here % BLOCK, size - here)
            if BLOCK - here % BLOCK < HEADER:
                here += capacity
                continue
            length = <Py_ssize_t>read_little_endian(at + here + 4, 2) if capacity >= HEADER else 0
            if not is_record_at(at + here, capacity):
                self.torn = here + capacity == size and (capacity < HEADER or HEADER + length > capacity)
                return False
            if not self.add_record(at + here + HEADER, length, at[here + 6]):
                return False
            here += HEADER + length
            if not self.in_fragments:
                self.end = self.at + here
        self.at += size
        self.torn = self.in_fragments
        return True


cdef class BatchReader(LogReader):
    """Follows the sequence numbers of write batches through the files of a WAL.

    `last`: every change up to this sequence number was found. Reading stops at a batch that leaves a gap
    after `last`, or that does not follow the batch before it in the same file. With `is_readable`, it also
    stops at a batch with changes above `synced` if `is_readable(value)` is false for one of its values.
    """

    cdef readonly uint64_t last
    cdef object is_readable
    cdef uint64_t synced
    cdef uint64_t previous            # last sequence number of the batch before in this file
    cdef bint first                   # the next batch is the first one of its file

    def __cinit__(self, uint64_t last, is_readable=None, uint64_t synced=0):
        self.last = last
        self.is_readable = is_readable
        self.synced = synced
        self.parts = None if is_readable is None else []
        self.first = True

    def next_file(self) -> None:
        """Start with the next file of the log."""
        self.at = self.end = 0
        self.in_fragments = self.torn = False
        self.first = True
        if self.parts is not None:
            self.parts = []

    cdef bint end_payload(self) except -1:
        cdef uint64_t sequence, count
        if self.head_bytes < BATCH_HEADER:
            return False
        sequence = read_little_endian(self.head, 8)
        count = read_little_endian(self.head + 8, 4)
        if sequence > self.last + 1 if self.first else sequence != self.previous + 1:
            return False
        if self.parts is not None:
            payload, self.parts = b"".join(self.parts), []
            if sequence + count - 1 > self.synced and not all(map(self.is_readable, values_in(payload))):
                return False
        self.first = False
        self.previous = sequence + count - 1
        self.last = max(self.last, self.previous)
        return True


cdef class PayloadReader(LogReader):
    """Collects the payloads of a MANIFEST."""

    cdef readonly list payloads

    def __cinit__(self):
        self.payloads = []
        self.parts = []

    cdef bint end_payload(self) except -1:
        self.payloads.append(b"".join(self.parts))
        self.parts = []
        return True


cdef bytes next_text(const char* at, Py_ssize_t size, Py_ssize_t* here):
    """The length-prefixed text at `here`, which moves behind it; None if the bytes end before it."""
    cdef uint64_t length = 0
    cdef int shift = 0
    cdef unsigned char byte = 0x80
    while byte & 0x80:
        if here[0] >= size or shift > 28:
            return None
        byte = <unsigned char>at[here[0]]
        length |= <uint64_t>(byte & 0x7F) << shift
        shift += 7
        here[0] += 1
    if length > <uint64_t>(size - here[0]):
        return None
    here[0] += <Py_ssize_t>length
    return PyBytes_FromStringAndSize(at + here[0] - <Py_ssize_t>length, <Py_ssize_t>length)


def values_in(bytes payload not None) -> list:
    """The values that a write batch puts, up to the first change that the broker does not write."""
    cdef const char* at = PyBytes_AS_STRING(payload)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload), here = BATCH_HEADER
    cdef char kind
    cdef list values = []
    while here < size:
        kind = at[here]
        here += 1
        key = next_text(at, size, &here) if kind in (DELETE, PUT, DELETE_RANGE) else None
        if key is None:
            break
        if kind != DELETE:
            value = next_text(at, size, &here)
            if value is None:
                break
            if kind == PUT:
                values.append(value)
    return values


def find_last_sequence(bytes data not None, Py_ssize_t start, uint64_t above, uint64_t max_sequence) -> int:
    """The last sequence number of all whole batches in `data` at or after the offset `start`; 0 for none.

    `data` is a log from the start of a block on, and may be damaged: batches are searched at each byte. Only
    sequence numbers from `above` + 1 to `max_sequence` count. A batch without its last fragment does not
    count, because a kill may leave one.
    """
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t here = start, capacity, length
    cdef uint64_t sequence, last, last_of_fragments = 0, found = 0
    cdef int kind
    while here + HEADER <= size:
        capacity = min(BLOCK - here % BLOCK, size - here)
        if capacity < HEADER:
            here += capacity
            continue
        kind = at[here + 6]
        length = <Py_ssize_t>read_little_endian(at + here + 4, 2)
        if (kind == FULL or kind == FIRST) and length >= BATCH_HEADER and HEADER + length <= capacity:
            sequence = read_little_endian(at + here + HEADER, 8)
            if above < sequence <= max_sequence and is_record_at(at + here, capacity):
                last = min(sequence + read_little_endian(at + here + HEADER + 8, 4) - 1, max_sequence)
                if kind == FULL:
                    found = max(found, last)
                last_of_fragments = last if kind == FIRST else 0
                here += HEADER + length
                continue
        elif (
            # A middle or last fragment is always the first record of a block.
            last_of_fragments and here % BLOCK == 0 and (kind == MIDDLE or kind == LAST)
            and is_record_at(at + here, capacity)
        ):
            if kind == LAST:
                found = max(found, last_of_fragments)
                last_of_fragments = 0
            here += HEADER + length
            continue
        here += 1
    return found
