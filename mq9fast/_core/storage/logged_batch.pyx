"""A write batch that also keeps its changes as bytes, for the record of a replicated log.

The store of a replicated broker creates one in `new_batch`. A follower applies the same bytes to its store.

    change:  kind(1) key size(2) value size(4) key value; big-endian
    kind:    1 put; 2 delete, without a value; 3 delete a range, from the key up to but not the value
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from mq9fast._core.base.crc32c cimport crc32c
from mq9fast._core.base.memory cimport PyMem_Free
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.storage.row_format cimport put_u16, put_u32, read_u16, read_u32

cdef enum:
    PUT = 1
    DELETE = 2
    DELETE_RANGE = 3
    MAX_KEY_BYTES = 0xFFFF


cdef struct Change:
    char kind
    char key_size[2]
    char value_size[4]


cdef class LoggedBatch:
    """Wraps `rows`, an empty write batch of RocksDB."""
    cdef readonly object rows
    cdef object put_row
    cdef object delete_row
    cdef object delete_row_range
    cdef char* data
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity

    def __cinit__(self, rows not None):
        self.rows = rows
        self.put_row = rows.put
        self.delete_row = rows.delete
        self.delete_row_range = rows.delete_range

    def __dealloc__(self):
        PyMem_Free(self.data)

    def put(self, bytes key not None, bytes value not None) -> None:
        """Write `value` under `key`."""
        self.add(PUT, key, value)
        self.put_row(key, value)

    def delete(self, bytes key not None) -> None:
        """Delete `key`."""
        self.add(DELETE, key, b"")
        self.delete_row(key)

    def delete_range(self, bytes first not None, bytes end not None) -> None:
        """Delete every key from `first` up to, but not including, `end`."""
        self.add(DELETE_RANGE, first, end)
        self.delete_row_range(first, end)

    @property
    def changes(self) -> bytes:
        """The changes so far."""
        return PyBytes_FromStringAndSize(self.data, self.size)

    cdef int add(self, uint8_t kind, bytes key, bytes value) except -1:
        cdef Py_ssize_t key_size = PyBytes_GET_SIZE(key)
        cdef Py_ssize_t value_size = PyBytes_GET_SIZE(value)
        cdef Py_ssize_t size = sizeof(Change) + key_size + value_size
        cdef Change* change
        if key_size > MAX_KEY_BYTES or value_size > 0x7FFFFFFF:
            raise ValueError("a row is too large for the log")
        self.data = <char*>with_capacity(self.data, self.size, &self.capacity, 1, size)
        change = <Change*>(self.data + self.size)
        change.kind = <char>kind
        put_u16(change.key_size, <uint32_t>key_size)
        put_u32(change.value_size, <uint32_t>value_size)
        memcpy(<char*>change + sizeof(Change), PyBytes_AS_STRING(key), <size_t>key_size)
        memcpy(<char*>change + sizeof(Change) + key_size, PyBytes_AS_STRING(value), <size_t>value_size)
        self.size += size
        return 0


def apply_changes(const uint8_t[::1] changes not None, batch not None) -> None:
    """Add the changes that `LoggedBatch.changes` returned to another batch. Raises CorruptRecord."""
    cdef Py_ssize_t at = 0, end = changes.shape[0], key_size, value_size
    cdef const Change* change
    cdef const char* key
    put, delete, delete_range = batch.put, batch.delete, batch.delete_range
    while at < end:
        if end - at < <Py_ssize_t>sizeof(Change):
            raise CorruptRecord("a change of the log is cut off")
        change = <const Change*>&changes[at]
        key_size, value_size = read_u16(change.key_size), read_u32(change.value_size)
        at += sizeof(Change)
        if end - at < key_size + value_size:
            raise CorruptRecord("a change of the log is cut off")
        key = <const char*>change + sizeof(Change)
        if change.kind == PUT:
            put(key[:key_size], key[key_size:key_size + value_size])
        elif change.kind == DELETE:
            delete(key[:key_size])
        elif change.kind == DELETE_RANGE:
            delete_range(key[:key_size], key[key_size:key_size + value_size])
        else:
            raise CorruptRecord(f"the log has a change of the unknown kind {change.kind}")
        at += key_size + value_size


def chain_crc(uint32_t before, const uint8_t[::1] data not None) -> int:
    """The checksum of `data` and of everything before it, whose checksum is `before`."""
    cdef char both[8]
    put_u32(both, before)
    put_u32(both + 4, crc32c(<const char*>&data[0], data.shape[0]) if data.shape[0] else 0)
    return crc32c(both, 8)
