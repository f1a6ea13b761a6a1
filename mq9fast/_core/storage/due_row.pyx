"""The codec of due rows; the contract is in due_row.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from mq9fast._core.base.view cimport View, put, view
from mq9fast._core.storage.row_format cimport (
    DUE_ENTRY_BYTES, DUE_KEY_BYTES, DUE_ROW_FIXED_BYTES, DUE_ROW_VERSION, DUE_ROWS, DueEntryLayout,
    DueKeyLayout, DueRowLayout, put_u16, put_u32, put_u64, read_u16, read_u32, read_u64
)

from mq9fast._core.storage.record import CorruptRecord


cdef bytes due_row_key(uint64_t due_ms, uint64_t uid, uint64_t last_id):
    cdef bytes key = PyBytes_FromStringAndSize(NULL, DUE_KEY_BYTES)
    cdef DueKeyLayout* at = <DueKeyLayout*>PyBytes_AS_STRING(key)
    at.prefix = DUE_ROWS
    put_u64(at.due_ms, due_ms)
    put_u64(at.uid, uid)
    put_u64(at.last_id, last_id)
    return key


cdef bytes due_row_value(View address, const DueEntryLayout* entries, Py_ssize_t count):
    cdef Py_ssize_t entries_bytes = count * DUE_ENTRY_BYTES
    cdef bytes value = PyBytes_FromStringAndSize(NULL, DUE_ROW_FIXED_BYTES + address.size + entries_bytes)
    cdef DueRowLayout* fixed = <DueRowLayout*>PyBytes_AS_STRING(value)
    fixed.version = DUE_ROW_VERSION
    fixed.reserved = 0
    put_u16(fixed.address_size, <uint16_t>address.size)
    put_u32(fixed.count, <uint32_t>count)
    memcpy(put(<char*>(fixed + 1), address), entries, <size_t>entries_bytes)
    return value


cdef uint64_t due_time_in(bytes key) except? 0:
    """The time in the key of a due row. CorruptRecord if it is not one."""
    if PyBytes_GET_SIZE(key) != DUE_KEY_BYTES:
        raise CorruptRecord(f"a key of what is due has {len(key)} bytes instead of {DUE_KEY_BYTES}")
    return read_u64((<const DueKeyLayout*>PyBytes_AS_STRING(key)).due_ms)


cdef int unpack_due_row(bytes key, bytes value, DueRow* row) except -1:
    """Unpack a due row. DANGER: `row` points into `value`. CorruptRecord if a length is wrong."""
    cdef const DueRowLayout* fixed = <const DueRowLayout*>PyBytes_AS_STRING(value)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value) - DUE_ROW_FIXED_BYTES
    row.due_ms = due_time_in(key)
    row.uid = read_u64((<const DueKeyLayout*>PyBytes_AS_STRING(key)).uid)
    if size < 0 or <uint8_t>fixed.version != DUE_ROW_VERSION:
        raise CorruptRecord(f"a due row of {len(value)} bytes has an unknown format")
    row.address = view(<const char*>(fixed + 1), <Py_ssize_t>read_u16(fixed.address_size))
    row.count = <Py_ssize_t>read_u32(fixed.count)
    if size != row.address.size + row.count * DUE_ENTRY_BYTES:
        raise CorruptRecord(f"a due row of {len(value)} bytes does not have the length in it")
    row.entries = <const DueEntryLayout*>(row.address.data + row.address.size)
    return 0
