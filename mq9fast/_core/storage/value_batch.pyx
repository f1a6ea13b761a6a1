"""A write batch whose large values go to the value log; the contract is in value_batch.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EINTR, ENOSPC, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from posix.types cimport off_t

import os

from mq9fast._core.base.check cimport check
from mq9fast._core.base.crc32c cimport crc32c
from mq9fast._core.base.memory cimport PyMem_Free, PyMem_Malloc
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record_batch cimport popcount
from mq9fast._core.storage.row_format cimport (
    BATCH_FIXED_BYTES, BATCH_KEY_BYTES, BATCH_VERSION, MESSAGE_FIXED_BYTES, MESSAGE_KEY_BYTES,
    MESSAGE_OVERHEAD_BYTES, MESSAGES, THINNED_BATCH_FIXED_BYTES, THINNED_BATCH_VERSION, BatchLayout,
    MessageKeyLayout, MessageLayout, RECORD_VERSION, ThinnedBatchLayout, put_u32, read_u16, read_u64
)
from mq9fast._core.storage.value_format cimport (
    MIN_LOGGED_BYTES, VALUE_RECORD_BYTES, ValuePointer, ValueRecordLayout, pack_value_pointer
)

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    Py_ssize_t pwritev(int descriptor, const iovec* pieces, int count, off_t offset)

cdef enum:
    # Of one system call. The bytes are still in the processor's cache after they were hashed.
    WRITE_BYTES = 262144
    MAX_PIECES = 512
    MAX_HEAD_BYTES = 48


cdef struct Record:
    const char* key
    Py_ssize_t key_size
    const char* value
    Py_ssize_t size
    uint32_t crc
    char head[MAX_HEAD_BYTES]


cdef struct Pieces:
    # What the next system call writes.
    int descriptor
    off_t offset
    int count
    size_t bytes
    iovec items[MAX_PIECES]


cdef Py_ssize_t pack_head(Record* record) noexcept nogil:
    """Hash the value, pack the head with the key, and return its size."""
    cdef ValueRecordLayout* fixed = <ValueRecordLayout*>record.head
    cdef Py_ssize_t size = VALUE_RECORD_BYTES + record.key_size
    record.crc = crc32c(record.value, record.size)
    memset(fixed, 0, sizeof(ValueRecordLayout))
    fixed.key_size[1] = <char>record.key_size
    put_u32(fixed.value_size, <uint32_t>record.size)
    put_u32(fixed.value_crc, record.crc)
    memcpy(record.head + VALUE_RECORD_BYTES, record.key, <size_t>record.key_size)
    put_u32(fixed.crc, crc32c(record.head + 4, size - 4))
    return size


cdef int write_pieces(Pieces* pieces) noexcept nogil:
    """Write all pieces. Returns 0 or the error number."""
    cdef iovec* item = pieces.items
    cdef Py_ssize_t written
    while pieces.bytes:
        written = pwritev(pieces.descriptor, item, pieces.count, pieces.offset)
        if written < 0 and errno == EINTR:
            continue
        if written <= 0:
            return errno if written < 0 else ENOSPC
        pieces.offset += written
        pieces.bytes -= <size_t>written
        while pieces.count and <size_t>written >= item.iov_len:
            written -= item.iov_len
            item += 1
            pieces.count -= 1
        if written:
            item.iov_base = <char*>item.iov_base + written
            item.iov_len -= <size_t>written
    pieces.count = 0
    return 0


cdef int add_piece(Pieces* pieces, const char* at, Py_ssize_t size) noexcept nogil:
    """Add bytes to the pieces, and write what is enough for a system call. Returns 0 or the error number."""
    cdef size_t some
    cdef int failure = 0
    while size and not failure:
        some = min(<size_t>size, WRITE_BYTES - pieces.bytes)
        pieces.items[pieces.count].iov_base = <void*>at
        pieces.items[pieces.count].iov_len = some
        pieces.count += 1
        pieces.bytes += some
        at += some
        size -= <Py_ssize_t>some
        if pieces.bytes == WRITE_BYTES or pieces.count == MAX_PIECES:
            failure = write_pieces(pieces)
    return failure


cdef int write_records(Pieces* pieces, Record* records, Py_ssize_t count) noexcept nogil:
    """Append the records. Returns 0 or the error number."""
    cdef Py_ssize_t i
    cdef int failure
    for i in range(count):
        failure = add_piece(pieces, records[i].head, pack_head(&records[i]))
        if not failure:
            failure = add_piece(pieces, records[i].value, records[i].size)
        if failure:
            return failure
    return write_pieces(pieces)


cdef void run_write(ValueWrite* write) noexcept nogil:
    """Write the values. Any thread may call it."""
    cdef Pieces pieces
    pieces.descriptor, pieces.offset, pieces.count, pieces.bytes = write.descriptor, write.offset, 0, 0
    write.failure = write_records(&pieces, write.records, write.count)


cdef void describe_row(const char* value, Py_ssize_t size, ValuePointer* pointer) noexcept:
    """Set how many messages the row `value` has, and the size of their headers and payloads."""
    cdef const MessageLayout* message = <const MessageLayout*>value
    cdef Py_ssize_t content = size
    pointer.flags = 0
    pointer.known = False
    if value[0] == BATCH_VERSION:
        pointer.count = pointer.kept = <unsigned char>(<const BatchLayout*>value).count
        content -= BATCH_FIXED_BYTES + pointer.kept * MESSAGE_OVERHEAD_BYTES
    elif value[0] == THINNED_BATCH_VERSION:
        pointer.count = <unsigned char>(<const ThinnedBatchLayout*>value).count
        pointer.kept = popcount(read_u64((<const ThinnedBatchLayout*>value).kept))
        content -= THINNED_BATCH_FIXED_BYTES + pointer.kept * MESSAGE_OVERHEAD_BYTES
    else:
        pointer.count = pointer.kept = 1
        content -= MESSAGE_FIXED_BYTES + read_u16(message.attributes_size)
        pointer.flags = <uint8_t>message.flags
        pointer.known = value[0] == RECORD_VERSION
    pointer.content = <uint32_t>max(content, 0)


cdef inline bint is_logged(bytes key, bytes value) noexcept:
    """Whether a value goes to the value log: only rows of messages do."""
    return (
        PyBytes_GET_SIZE(value) >= MIN_LOGGED_BYTES
        and MESSAGE_KEY_BYTES <= PyBytes_GET_SIZE(key) <= BATCH_KEY_BYTES
        and PyBytes_AS_STRING(key)[0] == MESSAGES
        and (<const MessageKeyLayout*>PyBytes_AS_STRING(key)).rank < RANKS
    )


cdef class ValueBatch:
    """Wraps `rows`, an empty write batch of RocksDB. As there, the last change of a key counts.

    `large`: whether it has values for the value log. `record_bytes`: what these take there.
    """

    def __cinit__(self, rows not None):
        self.rows = rows
        self.put_row = rows.put
        self.delete_row = rows.delete
        self.delete_row_range = rows.delete_range
        self.large = {}
        self.spans = []

    def __dealloc__(self):
        PyMem_Free(self.write.records)

    def put(self, bytes key not None, bytes value not None) -> None:
        """Write `value` under `key`."""
        if self.large:
            self.forget(key)
        if is_logged(key, value):
            self.large[key] = value
            self.record_bytes += VALUE_RECORD_BYTES + PyBytes_GET_SIZE(key) + PyBytes_GET_SIZE(value)
        else:
            self.put_row(key, value)

    def delete(self, bytes key not None) -> None:
        """Delete `key`."""
        if self.large:
            self.forget(key)
        self.delete_row(key)

    def delete_range(self, bytes first not None, bytes end not None) -> None:
        """Delete every key from `first` up to, but not including, `end`."""
        for key in [key for key in self.large if first <= key < end]:
            self.forget(key)
        self.delete_row_range(first, end)

    cdef int forget(self, bytes key) except -1:
        """Drop the large value that waits for this key, because a later change replaces it."""
        cdef bytes value = self.large.pop(key, None)
        if value is not None:
            self.record_bytes -= VALUE_RECORD_BYTES + PyBytes_GET_SIZE(key) + PyBytes_GET_SIZE(value)
        return 0

    def append(self, int descriptor, uint64_t segment, long long offset) -> None:
        """Write the large values to the open segment at `offset`, and put their pointers into `rows`.

        Raises OSError; nothing was put then, and what was written may be overwritten.
        """
        self.begin(descriptor, segment, offset)
        with nogil:
            run_write(&self.write)
        self.finish()

    @property
    def has_begun(self) -> bool:
        """Whether a thread writes, or has written, what `finish` completes."""
        return self.write.records is not NULL

    def begin(self, int descriptor, uint64_t segment, long long offset) -> None:
        """Prepare to append. From here to `finish` the batch must not change."""
        cdef Py_ssize_t i = 0
        cdef Record* record
        cdef bytes key, value
        PyMem_Free(self.write.records)
        self.write.records = <Record*>PyMem_Malloc(<size_t>len(self.large) * sizeof(Record))
        if self.write.records is NULL:
            raise MemoryError
        for key, value in self.large.items():
            record = &self.write.records[i]
            record.key = PyBytes_AS_STRING(key)
            record.key_size = PyBytes_GET_SIZE(key)
            record.value = PyBytes_AS_STRING(value)
            record.size = PyBytes_GET_SIZE(value)
            i += 1
        self.write.count = i
        self.write.descriptor, self.write.offset, self.write.failure = descriptor, offset, 0
        self.segment = segment

    def finish(self) -> None:
        """`run_write` has written the values: put their pointers into `rows`. Raises OSError if it failed."""
        try:
            if self.write.failure:
                raise OSError(self.write.failure, os.strerror(self.write.failure))
            self.put_pointers()
        finally:
            PyMem_Free(self.write.records)
            self.write.records = NULL
        self.note_spans()
        self.large = {}
        self.record_bytes = 0
        self.has_values = True

    cdef int note_spans(self) except -1:
        cdef bytes key, first = None, last = None
        cdef size_t prefix_size = MESSAGE_KEY_BYTES - sizeof(uint64_t)
        for key in self.large:
            if first is None:
                first = last = key
            elif memcmp(PyBytes_AS_STRING(key), PyBytes_AS_STRING(first), prefix_size) == 0:
                first, last = min(first, key), max(last, key)
            else:
                self.spans.append((first, last))
                first = last = key
        if first is not None:
            self.spans.append((first, last))
        return 0

    cdef int put_pointers(self) except -1:
        cdef ValuePointer pointer
        cdef const Record* record = self.write.records
        cdef off_t offset = self.write.offset
        pointer.segment = self.segment
        for key in self.large:
            offset += VALUE_RECORD_BYTES + record.key_size
            pointer.offset = <uint32_t>offset
            pointer.size = <uint32_t>record.size
            pointer.crc = record.crc
            describe_row(record.value, record.size, &pointer)
            self.put_row(key, pack_value_pointer(&pointer))
            offset += record.size
            record += 1
        check(offset == self.write.offset + self.record_bytes, b"a batch knows the size of its records")
        return 0
