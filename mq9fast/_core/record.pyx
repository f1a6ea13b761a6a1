"""Reading and writing of what is stored; see record.pxd for the types and store/record.py for the layout."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mq9fast._core.views cimport View, put, put_byte, to_bytes, view, view_of


class CorruptRecord(Exception):
    """A stored value that this version cannot have written."""


cdef inline uint32_t read_u32(const char* at) noexcept:
    cdef const unsigned char* b = <const unsigned char*>at
    return (<uint32_t>b[0] << 24) | (<uint32_t>b[1] << 16) | (<uint32_t>b[2] << 8) | <uint32_t>b[3]


cdef inline char* put_u32(char* at, uint32_t n) noexcept:
    cdef int i
    for i in range(4):
        at[i] = <char>((n >> (24 - 8 * i)) & 0xFF)
    return at + 4


cdef int check(bytes value, Py_ssize_t least) except -1:
    if PyBytes_GET_SIZE(value) < least or <uint8_t>PyBytes_AS_STRING(value)[0] != FORMAT_VERSION:
        raise CorruptRecord(f"a stored value of {len(value)} bytes has no known format")
    return 0


cdef bytes message_key(uint64_t uid, int rank, uint64_t msg_id):
    cdef bytes key = PyBytes_FromStringAndSize(NULL, MESSAGE_KEY_BYTES)
    cdef char* at = PyBytes_AS_STRING(key)
    at = put_byte(at, c'm')
    at = put_u64(at, uid)
    at = put_byte(at, <char>rank)
    put_u64(at, msg_id)
    return key


cdef int read_key(bytes key, uint64_t* msg_id) except -1:
    """The msg_id in a message's key; CorruptRecord if it is no such key."""
    if PyBytes_GET_SIZE(key) != MESSAGE_KEY_BYTES:
        raise CorruptRecord(f"a message key has {MESSAGE_KEY_BYTES} bytes, not {len(key)}")
    msg_id[0] = read_u64(PyBytes_AS_STRING(key) + MESSAGE_KEY_BYTES - 8)
    return 0


cdef bytes pack_message(uint64_t created_ms, View header, View payload):
    cdef bytes value = PyBytes_FromStringAndSize(NULL, MESSAGE_FIXED_BYTES + header.size + payload.size)
    cdef char* at = PyBytes_AS_STRING(value)
    at = put_byte(at, FORMAT_VERSION)
    at = put_byte(at, 0)
    at = put_byte(put_byte(at, 0), 0)
    at = put_u32(at, <uint32_t>header.size)
    at = put_u64(at, created_ms)
    put(put(at, header), payload)
    return value


cdef int unpack_message(bytes value, StoredMessage* message) except -1:
    """Point `message` into `value`; CorruptRecord if its lengths do not fit."""
    cdef const char* at = PyBytes_AS_STRING(value)
    cdef Py_ssize_t attributes, header, rest
    check(value, MESSAGE_FIXED_BYTES)
    attributes = (<Py_ssize_t><uint8_t>at[2] << 8) | <Py_ssize_t><uint8_t>at[3]
    header = <Py_ssize_t>read_u32(at + 4)
    rest = PyBytes_GET_SIZE(value) - MESSAGE_FIXED_BYTES - attributes - header
    if rest < 0:
        raise CorruptRecord(f"a stored message of {len(value)} bytes is shorter than its lengths say")
    message.created_ms = read_u64(at + 8)
    at += MESSAGE_FIXED_BYTES + attributes
    message.header = view(at, header)
    message.payload = view(at + header, rest)
    return 0


cdef bytes pack_mailbox(const MailboxRecord* record):
    cdef bytes value = PyBytes_FromStringAndSize(NULL, MAILBOX_FIXED_BYTES + record.description.size)
    cdef char* at = PyBytes_AS_STRING(value)
    cdef int rank
    at = put_byte(at, FORMAT_VERSION)
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
    at = put_u64(at, 0)
    put(at, record.description)
    return value


cdef int unpack_mailbox(bytes value, MailboxRecord* record) except -1:
    """Point `record` into `value`; CorruptRecord if its lengths do not fit."""
    cdef const char* at = PyBytes_AS_STRING(value)
    cdef int rank
    check(value, MAILBOX_FIXED_BYTES)
    record.public = at[1] & 1
    record.description = view(at + MAILBOX_FIXED_BYTES, <Py_ssize_t>read_u32(at + 4))
    if record.description.size != PyBytes_GET_SIZE(value) - MAILBOX_FIXED_BYTES:
        raise CorruptRecord(f"a stored mailbox of {len(value)} bytes is not as long as it says")
    record.uid = read_u64(at + 8)
    record.next_id = read_u64(at + 16)
    record.renewed_ms = read_u64(at + 24)
    record.ttl_seconds = read_u64(at + 32)
    for rank in range(3):
        record.head[rank] = read_u64(at + 40 + 8 * rank)
        record.count[rank] = read_u64(at + 64 + 8 * rank)
    record.size_bytes = read_u64(at + 88)
    return 0


def key_of_message(uint64_t uid, int rank, uint64_t msg_id) -> bytes:
    """The key of one message, and so the bounds of a scan over one rank of a mailbox."""
    return message_key(uid, rank, msg_id)


def id_in_key(bytes key not None) -> int:
    """The msg_id in a message's key; CorruptRecord if it is no such key."""
    cdef uint64_t msg_id = 0
    read_key(key, &msg_id)
    return msg_id


def read_message(bytes value not None):
    """(created_ms, header bytes, payload bytes) of a stored message; CorruptRecord if it is none."""
    cdef StoredMessage message
    unpack_message(value, &message)
    return message.created_ms, to_bytes(message.header), to_bytes(message.payload)


def created_ms(bytes value not None) -> int:
    """When a stored message was accepted, Unix milliseconds; CorruptRecord if it is none."""
    cdef StoredMessage message
    unpack_message(value, &message)
    return message.created_ms


def write_message(uint64_t created_ms, bytes header not None, bytes payload not None) -> bytes:
    """The stored value of a message."""
    return pack_message(created_ms, view_of(header), view_of(payload))


def format_version() -> int:
    """The version written into every value."""
    return FORMAT_VERSION
