"""RocksDB's log format, read without RocksDB: the files of its write-ahead log, and its MANIFEST.

    block of 32,768 bytes: records, and at its end less than 7 bytes of zeros
    record:  crc32c(4) of type and payload, masked   length(2)   type(1)   payload; all little-endian
    type:    1 a whole payload; 2, 3 and 4 its first, middle and last parts

A payload of the write-ahead log is a batch: sequence(8) count(4), then as many changes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    static uint32_t crc32c_table[8][256];

    static void crc32c_prepare(void) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t crc = n;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
            crc32c_table[0][n] = crc;
        }
        for (uint32_t n = 0; n < 256; n++)
            for (int k = 1; k < 8; k++) {
                uint32_t crc = crc32c_table[k - 1][n];
                crc32c_table[k][n] = (crc >> 8) ^ crc32c_table[0][crc & 255];
            }
    }

    static uint32_t crc32c_by_table(uint32_t crc, const unsigned char* at, size_t size) {
        for (; size >= 8; at += 8, size -= 8) {
            uint32_t low;
            memcpy(&low, at, 4);
            low ^= crc;
            crc = crc32c_table[7][low & 255] ^ crc32c_table[6][(low >> 8) & 255]
                ^ crc32c_table[5][(low >> 16) & 255] ^ crc32c_table[4][low >> 24]
                ^ crc32c_table[3][at[4]] ^ crc32c_table[2][at[5]]
                ^ crc32c_table[1][at[6]] ^ crc32c_table[0][at[7]];
        }
        for (; size > 0; at++, size--)
            crc = (crc >> 8) ^ crc32c_table[0][(crc ^ *at) & 255];
        return crc;
    }

    #if defined(__x86_64__) && defined(__GNUC__)
    __attribute__((target("sse4.2")))
    static uint32_t crc32c_by_processor(uint32_t crc, const unsigned char* at, size_t size) {
        uint64_t wide = crc, word;
        for (; size >= 8; at += 8, size -= 8) {
            memcpy(&word, at, 8);
            wide = __builtin_ia32_crc32di(wide, word);
        }
        crc = (uint32_t)wide;
        for (; size > 0; at++, size--)
            crc = __builtin_ia32_crc32qi(crc, *at);
        return crc;
    }
    static int crc32c_has_instruction(void) { return __builtin_cpu_supports("sse4.2") != 0; }
    #else
    #define crc32c_by_processor crc32c_by_table
    static int crc32c_has_instruction(void) { return 0; }
    #endif
    """
    void crc32c_prepare() noexcept nogil
    uint32_t crc32c_by_table(uint32_t crc, const unsigned char* at, size_t size) noexcept nogil
    uint32_t crc32c_by_processor(uint32_t crc, const unsigned char* at, size_t size) noexcept nogil
    bint crc32c_has_instruction() noexcept nogil

cdef enum:
    BLOCK = 32768
    HEADER = 7
    BATCH_HEADER = 12
    FULL = 1
    FIRST = 2
    MIDDLE = 3
    LAST = 4

crc32c_prepare()
cdef bint by_processor = crc32c_has_instruction()


cdef inline uint32_t checksum(const char* at, Py_ssize_t size) noexcept:
    if by_processor:
        return ~crc32c_by_processor(<uint32_t>0xFFFFFFFF, <const unsigned char*>at, <size_t>size)
    return ~crc32c_by_table(<uint32_t>0xFFFFFFFF, <const unsigned char*>at, <size_t>size)


cdef inline uint64_t little(const char* at, int size) noexcept:
    cdef uint64_t n = 0
    memcpy(&n, at, size)
    return n


cdef inline bint begins_record(const char* at, Py_ssize_t capacity) noexcept:
    """Whether a whole record begins at `at`, with `capacity` bytes to the end of its block or of the file."""
    cdef Py_ssize_t size
    cdef uint32_t masked
    if capacity < HEADER or not FULL <= at[6] <= LAST:
        return False
    size = <Py_ssize_t>little(at + 4, 2)
    if HEADER + size > capacity:
        return False
    masked = <uint32_t>little(at, 4) - <uint32_t>0xA282EAD8
    return checksum(at + 6, size + 1) == ((masked >> 17) | (masked << 15))


def begins_with_record(bytes data not None) -> bool:
    """Whether a whole record is at the beginning of `data`, which is at most a block."""
    return begins_record(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


def crc32c(bytes data not None, bint table=False) -> int:
    """The CRC-32C of `data`, by the table if wanted: for tests."""
    cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(data)
    if table:
        return <uint32_t>~crc32c_by_table(<uint32_t>0xFFFFFFFF, at, <size_t>PyBytes_GET_SIZE(data))
    return checksum(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef class LogReader:
    """Reads one file in order, given to it in pieces, up to the first place that is no record.

    `end` is the offset behind the last payload that was whole, and `at` that of the next byte to be fed.
    `torn`: reading ended because the last record was not written to its end.
    """

    cdef readonly long long end
    cdef readonly long long at
    cdef readonly bint torn
    cdef bint in_parts
    cdef char head[BATCH_HEADER]      # the first bytes of a payload that came in parts
    cdef Py_ssize_t head_bytes
    cdef list parts

    cdef bint take(self, const char* payload, Py_ssize_t size, int kind) except -1:
        """Take a record; false if it is not to be read on, because records do not follow each other so."""
        cdef Py_ssize_t some
        if (kind == FULL or kind == FIRST) == self.in_parts:
            return False
        if kind == FULL or kind == FIRST:
            self.head_bytes = 0
        some = min(size, BATCH_HEADER - self.head_bytes)
        if some > 0:
            memcpy(self.head + self.head_bytes, payload, some)
            self.head_bytes += some
        self.in_parts = kind == FIRST or kind == MIDDLE
        if self.parts is not None:
            self.parts.append(PyBytes_FromStringAndSize(payload, size))
        return self.in_parts or self.whole()

    cdef bint whole(self) except -1:
        """A payload is whole; false if it is none that is wanted."""
        return True

    def feed(self, bytes data not None) -> bool:
        """Read on. Every piece but the last is of whole blocks. False: behind `end` is a bad place, or in the
        last piece no whole payload."""
        cdef const char* at = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t here = 0, capacity, length
        while here < size:
            capacity = min(BLOCK - here % BLOCK, size - here)
            if BLOCK - here % BLOCK < HEADER:
                here += capacity
                continue
            length = <Py_ssize_t>little(at + here + 4, 2) if capacity >= HEADER else 0
            if not begins_record(at + here, capacity):
                self.torn = here + capacity == size and (capacity < HEADER or HEADER + length > capacity)
                return False
            if not self.take(at + here + HEADER, length, at[here + 6]):
                return False
            here += HEADER + length
            if not self.in_parts:
                self.end = self.at + here
        self.at += size
        self.torn = self.in_parts
        return True


cdef class BatchReader(LogReader):
    """Follows the sequence numbers of batches through the files of a write-ahead log.

    `last` is the number that everything is there up to. A batch that begins later than that is not read, nor
    one that does not follow on the one before it in its file.
    """

    cdef readonly uint64_t last
    cdef uint64_t before              # the last of the batch before in this file, if there is one
    cdef bint first

    def __cinit__(self, uint64_t last):
        self.last = last
        self.first = True

    def next_file(self) -> None:
        """Go on with another file."""
        self.at = self.end = 0
        self.in_parts = self.torn = False
        self.first = True

    cdef bint whole(self) except -1:
        cdef uint64_t sequence, count
        if self.head_bytes < BATCH_HEADER:
            return False
        sequence = little(self.head, 8)
        count = little(self.head + 8, 4)
        if sequence > self.last + 1 if self.first else sequence != self.before + 1:
            return False
        self.first = False
        self.before = sequence + count - 1
        self.last = max(self.last, self.before)
        return True


cdef class PayloadReader(LogReader):
    """Keeps the payloads: for a MANIFEST."""

    cdef readonly list payloads

    def __cinit__(self):
        self.payloads = []
        self.parts = []

    cdef bint whole(self) except -1:
        self.payloads.append(b"".join(self.parts))
        self.parts = []
        return True


def last_sequence_behind(bytes data not None, Py_ssize_t start, uint64_t above, uint64_t most) -> int:
    """The last sequence number of the whole batches that begin anywhere in `data`, the content of a log from
    a block's beginning on, at or behind `start`; 0 if there is none. Only numbers from `above` + 1 to `most`
    are believed. A batch without its last part does not count: a kill may leave one."""
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t here = start, capacity, length
    cdef uint64_t sequence, last, begun = 0, found = 0
    cdef int kind
    while here + HEADER <= size:
        capacity = min(BLOCK - here % BLOCK, size - here)
        if capacity < HEADER:
            here += capacity
            continue
        kind = at[here + 6]
        length = <Py_ssize_t>little(at + here + 4, 2)
        if (kind == FULL or kind == FIRST) and length >= BATCH_HEADER and HEADER + length <= capacity:
            sequence = little(at + here + HEADER, 8)
            if above < sequence <= most and begins_record(at + here, capacity):
                last = min(sequence + little(at + here + HEADER + 8, 4) - 1, most)
                if kind == FULL:
                    found = max(found, last)
                begun = last if kind == FIRST else 0
                here += HEADER + length
                continue
        elif (
            # Later parts begin their blocks.
            begun and here % BLOCK == 0 and (kind == MIDDLE or kind == LAST)
            and begins_record(at + here, capacity)
        ):
            if kind == LAST:
                found = max(found, begun)
                begun = 0
            here += HEADER + length
            continue
        here += 1
    return found
