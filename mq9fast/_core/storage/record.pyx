"""The codec of mailbox records and messages; record.pxd says who uses it, row_format.pxd draws it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from mq9fast._core.base.view cimport View, put, view, view_of
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage cimport row_format
from mq9fast._core.storage.row_format cimport (
    DEAD_BYTES_UNIT, MAILBOX_FIXED_BYTES, MESSAGE_FIXED_BYTES, MESSAGE_KEY_BYTES, RECORD_VERSION,
    MailboxLayout, MessageKeyLayout, MessageLayout, put_u32, put_u64, read_u16, read_u32, read_u64
)

# For Python, what row_format.pxd has for the core.
FORMAT_VERSION = row_format.FORMAT_VERSION
MAX_ID_EPOCH = row_format.MAX_ID_EPOCH
MAILBOXES = bytes([row_format.MAILBOXES])
MESSAGES = bytes([row_format.MESSAGES])


class CorruptRecord(Exception):
    """A stored value that no version of mq9fast up to this one can have written."""


cdef int check_version(View value, Py_ssize_t min_bytes) except -1:
    if value.size < min_bytes or <uint8_t>value.data[0] != RECORD_VERSION:
        raise CorruptRecord(f"a stored value of {value.size} bytes has an unknown format")
    return 0


cpdef bytes mailbox_key(bytes address):
    """The key of a mailbox record."""
    return MAILBOXES + address


cpdef bytes message_key(uint64_t uid, int rank, uint64_t msg_id):
    """The key of a single message, or of the deletion bitmap of the batch that ends with this message."""
    cdef bytes key = PyBytes_FromStringAndSize(NULL, MESSAGE_KEY_BYTES)
    put_message_key(<MessageKeyLayout*>PyBytes_AS_STRING(key), uid, rank, msg_id)
    return key


cdef void put_message_key(MessageKeyLayout* at, uint64_t uid, int rank, uint64_t msg_id) noexcept:
    at.prefix = row_format.MESSAGES
    put_u64(at.uid, uid)
    at.rank = <char>rank
    put_u64(at.msg_id, msg_id)


cdef char* put_message(char* at, const NewMessage* message) noexcept:
    """Write a message at `at`: MESSAGE_FIXED_BYTES, the header and the payload. Returns the end."""
    cdef MessageLayout* fixed = <MessageLayout*>at
    fixed.version = RECORD_VERSION
    fixed.reserved = 0
    memset(fixed.attributes_size, 0, sizeof(fixed.attributes_size))
    put_u32(fixed.header_size, <uint32_t>(message.added.size + message.header.size))
    put_u64(fixed.created_ms, message.created_ms)
    return put(put(put(at + MESSAGE_FIXED_BYTES, message.added), message.header), message.payload)


cdef int unpack_message(View value, StoredMessage* message) except -1:
    """Unpack a message. DANGER: `message` points into `value`. CorruptRecord if the lengths are wrong."""
    cdef const MessageLayout* fixed = <const MessageLayout*>value.data
    cdef const char* at
    cdef Py_ssize_t attributes, header, rest
    check_version(value, MESSAGE_FIXED_BYTES)
    attributes = <Py_ssize_t>read_u16(fixed.attributes_size)
    header = <Py_ssize_t>read_u32(fixed.header_size)
    rest = value.size - MESSAGE_FIXED_BYTES - attributes - header
    if rest < 0:
        raise CorruptRecord(f"a stored message of {value.size} bytes is shorter than the lengths in it")
    message.created_ms = read_u64(fixed.created_ms)
    at = value.data + MESSAGE_FIXED_BYTES + attributes
    message.header = view(at, header)
    message.payload = view(at + header, rest)
    return 0


cdef bytes pack_mailbox(const MailboxRecord* record):
    cdef bytes value = PyBytes_FromStringAndSize(NULL, MAILBOX_FIXED_BYTES + record.description.size)
    cdef MailboxLayout* fixed = <MailboxLayout*>PyBytes_AS_STRING(value)
    cdef uint64_t dead_units = record.dead_bytes // DEAD_BYTES_UNIT
    cdef int rank
    fixed.version = RECORD_VERSION
    fixed.flags = 1 if record.public else 0
    memset(fixed.reserved, 0, sizeof(fixed.reserved))
    put_u32(fixed.description_size, <uint32_t>record.description.size)
    put_u64(fixed.uid, record.uid)
    put_u64(fixed.next_id, record.next_id)
    put_u64(fixed.renewed_ms, record.renewed_ms)
    put_u64(fixed.ttl_seconds, record.ttl_seconds)
    for rank in range(RANKS):
        put_u64(fixed.head[rank], record.head[rank])
        put_u64(fixed.count[rank], record.count[rank])
    put_u64(fixed.size_bytes, record.size_bytes)
    put_u32(fixed.id_epoch, record.id_epoch)
    put_u32(fixed.dead_units, <uint32_t>min(dead_units, <uint64_t>0xFFFFFFFF))
    put(<char*>(fixed + 1), record.description)
    return value


cdef int unpack_mailbox(bytes value, MailboxRecord* record) except -1:
    """Unpack a mailbox record. DANGER: `record` points into `value`. CorruptRecord if the length is wrong."""
    cdef const MailboxLayout* fixed = <const MailboxLayout*>PyBytes_AS_STRING(value)
    cdef int rank
    check_version(view_of(value), MAILBOX_FIXED_BYTES)
    record.public = fixed.flags & 1
    record.description = view(<const char*>(fixed + 1), <Py_ssize_t>read_u32(fixed.description_size))
    if record.description.size != PyBytes_GET_SIZE(value) - MAILBOX_FIXED_BYTES:
        raise CorruptRecord(f"a mailbox record of {len(value)} bytes does not have the length in it")
    record.uid = read_u64(fixed.uid)
    record.next_id = read_u64(fixed.next_id)
    record.renewed_ms = read_u64(fixed.renewed_ms)
    record.ttl_seconds = read_u64(fixed.ttl_seconds)
    for rank in range(RANKS):
        record.head[rank] = read_u64(fixed.head[rank])
        record.count[rank] = read_u64(fixed.count[rank])
    record.size_bytes = read_u64(fixed.size_bytes)
    record.id_epoch = read_u32(fixed.id_epoch)
    record.dead_bytes = <uint64_t>read_u32(fixed.dead_units) * DEAD_BYTES_UNIT
    return 0
