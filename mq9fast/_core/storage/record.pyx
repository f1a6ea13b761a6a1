"""The codec of mailbox records and messages; record.pxd says who uses it, storage/layout.py draws it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mq9fast._core.base.view cimport View, put, put_byte, view, view_of


class CorruptRecord(Exception):
    """A stored value that no version of mq9fast up to this one can have written."""


cdef int check_version(View value, Py_ssize_t min_bytes) except -1:
    if value.size < min_bytes or <uint8_t>value.data[0] != RECORD_VERSION:
        raise CorruptRecord(f"a stored value of {value.size} bytes has an unknown format")
    return 0


cdef bytes message_key(uint64_t uid, int rank, uint64_t msg_id):
    cdef bytes key = PyBytes_FromStringAndSize(NULL, MESSAGE_KEY_BYTES)
    cdef char* at = PyBytes_AS_STRING(key)
    at = put_byte(at, c'm')
    at = put_u64(at, uid)
    at = put_byte(at, <char>rank)
    put_u64(at, msg_id)
    return key


cdef char* put_message(char* at, uint64_t created_ms, View header, View payload) noexcept:
    """Write a message at `at`: MESSAGE_FIXED_BYTES, the header and the payload. Returns the end."""
    at = put_byte(at, RECORD_VERSION)
    at = put_byte(at, 0)
    at = put_byte(put_byte(at, 0), 0)
    at = put_u32(at, <uint32_t>header.size)
    at = put_u64(at, created_ms)
    return put(put(at, header), payload)


cdef int unpack_message(View value, StoredMessage* message) except -1:
    """Unpack a message. DANGER: `message` points into `value`. CorruptRecord if the lengths are wrong."""
    cdef const char* at = value.data
    cdef Py_ssize_t attributes, header, rest
    check_version(value, MESSAGE_FIXED_BYTES)
    attributes = (<Py_ssize_t><uint8_t>at[2] << 8) | <Py_ssize_t><uint8_t>at[3]
    header = <Py_ssize_t>read_u32(at + 4)
    rest = value.size - MESSAGE_FIXED_BYTES - attributes - header
    if rest < 0:
        raise CorruptRecord(f"a stored message of {value.size} bytes is shorter than the lengths in it")
    message.created_ms = read_u64(at + 8)
    at += MESSAGE_FIXED_BYTES + attributes
    message.header = view(at, header)
    message.payload = view(at + header, rest)
    return 0


cdef bytes pack_mailbox(const MailboxRecord* record):
    cdef bytes value = PyBytes_FromStringAndSize(NULL, MAILBOX_FIXED_BYTES + record.description.size)
    cdef char* at = PyBytes_AS_STRING(value)
    cdef int rank
    at = put_byte(at, RECORD_VERSION)
    at = put_byte(at, <char>(1 if record.public else 0))
    at = put_byte(put_byte(at, 0), 0)
    at = put_u32(at, <uint32_t>record.description.size)
    at = put_u64(at, record.uid)
    at = put_u64(at, record.next_id)
    at = put_u64(at, record.renewed_ms)
    at = put_u64(at, record.ttl_seconds)
    for rank in range(3):
        at = put_u64(at, record.head[rank])
    for rank in range(3):
        at = put_u64(at, record.count[rank])
    at = put_u64(at, record.size_bytes)
    at = put_u32(at, record.jumps)
    at = put_u32(at, <uint32_t>min(record.dead_bytes // DEAD_BYTES_UNIT, <uint64_t>0xFFFFFFFF))
    put(at, record.description)
    return value


cdef int unpack_mailbox(bytes value, MailboxRecord* record) except -1:
    """Unpack a mailbox record. DANGER: `record` points into `value`. CorruptRecord if the length is wrong."""
    cdef const char* at = PyBytes_AS_STRING(value)
    cdef int rank
    check_version(view_of(value), MAILBOX_FIXED_BYTES)
    record.public = at[1] & 1
    record.description = view(at + MAILBOX_FIXED_BYTES, <Py_ssize_t>read_u32(at + 4))
    if record.description.size != PyBytes_GET_SIZE(value) - MAILBOX_FIXED_BYTES:
        raise CorruptRecord(f"a mailbox record of {len(value)} bytes does not have the length in it")
    record.uid = read_u64(at + 8)
    record.next_id = read_u64(at + 16)
    record.renewed_ms = read_u64(at + 24)
    record.ttl_seconds = read_u64(at + 32)
    for rank in range(3):
        record.head[rank] = read_u64(at + 40 + 8 * rank)
        record.count[rank] = read_u64(at + 64 + 8 * rank)
    record.size_bytes = read_u64(at + 88)
    record.jumps = read_u32(at + 96)
    record.dead_bytes = <uint64_t>read_u32(at + 100) * DEAD_BYTES_UNIT
    return 0


def format_version() -> int:
    """The format version of the data directories that this version of mq9fast writes."""
    return FORMAT_VERSION
