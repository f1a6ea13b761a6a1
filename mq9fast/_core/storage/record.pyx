"""The codec of mailbox records and messages; record.pxd says who uses it, row_format.pxd draws it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport View, put, slice_from, view, view_of
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage cimport row_format
from mq9fast._core.storage.row_format cimport (
    ATTRIBUTE_FIXED_BYTES, DEAD_BYTES_UNIT, HAS_NAME, MAILBOX_FIXED_BYTES, MESSAGE_FIXED_BYTES,
    MESSAGE_KEY_BYTES, NUMBER_BYTES, RECORD_VERSION, TAG_CREATED_MS, TAG_DELAYED, TAG_KEY_ROWS, TAG_LIFE,
    TAG_NAME, AttributeLayout, MailboxLayout, MessageAttributeTag, MessageKeyLayout, MessageLayout, put_u16,
    put_u32, put_u64, read_u16, read_u32, read_u64
)

# For Python, what row_format.pxd has for the core.
FORMAT_VERSION = row_format.FORMAT_VERSION
MAX_ID_EPOCH = row_format.MAX_ID_EPOCH
MAILBOXES = bytes([row_format.MAILBOXES])
MESSAGES = bytes([row_format.MESSAGES])
IDS_RANK = row_format.IDS_RANK
DELETION_BITMAP_VERSION = row_format.DELETION_BITMAP_VERSION
REPLACED_RANK = row_format.REPLACED_RANK
DELAYED_RANK = row_format.DELAYED_RANK

cdef enum:
    MAX_ATTRIBUTES_BYTES = 0xFFFF

    # Of a mailbox record.
    FLAG_PUBLIC = 1
    FLAG_ID_ROWS = 2
    FLAG_OWN_LIVES = 4
    FLAG_NAMES = 8
    FLAG_FAILURE_ROWS = 16
    FLAG_RECEIPTS = 32
    FLAG_REPLACED = 64
    # Sums of times with fewer bits fit into 64.
    MAX_TIME_BITS = 60
    MAX_TTL_BITS = 50


class CorruptRecord(Exception):
    """A stored value that no version of mq9fast up to this one can have written."""


cdef int check_version(View value, Py_ssize_t min_bytes) except -1:
    if value.size < min_bytes or <uint8_t>value.data[0] != RECORD_VERSION:
        raise CorruptRecord(f"a stored value of {value.size} bytes has an unknown format")
    return 0


cdef bint next_attribute(AttributeReader* reader) except -1:
    """Read the next attribute; false at the end. CorruptRecord if a length is wrong or tags do not ascend."""
    cdef const AttributeLayout* attribute = <const AttributeLayout*>reader.rest.data
    cdef Py_ssize_t size
    if reader.rest.size == 0:
        return False
    if reader.rest.size < ATTRIBUTE_FIXED_BYTES:
        raise CorruptRecord("the last attribute of a record is cut off")
    size = <Py_ssize_t>read_u16(attribute.size)
    if size > reader.rest.size - ATTRIBUTE_FIXED_BYTES:
        raise CorruptRecord("an attribute of a record is longer than what is left of the record")
    if <int><uint8_t>attribute.tag <= reader.tag:
        raise CorruptRecord("the attributes of a record are not in the order of their tags")
    reader.tag = <int><uint8_t>attribute.tag
    reader.value = view(<const char*>(attribute + 1), size)
    reader.rest = slice_from(reader.rest, ATTRIBUTE_FIXED_BYTES + size)
    return True


cdef int read_number(const AttributeReader* reader, uint64_t* number) except -1:
    """The value of the attribute, which is a number other than 0. CorruptRecord if it is not."""
    if reader.value.size != <Py_ssize_t>sizeof(uint64_t) or read_u64(reader.value.data) == 0:
        raise CorruptRecord(f"the attribute {reader.tag} of a record is not a number")
    number[0] = read_u64(reader.value.data)
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
    """Write a message at `at`: MESSAGE_FIXED_BYTES, attributes, header and payload. Returns the end."""
    cdef MessageLayout* fixed = <MessageLayout*>at
    check(message.attributes.size <= MAX_ATTRIBUTES_BYTES, b"the attributes of a message fit")
    fixed.version = RECORD_VERSION
    fixed.flags = <char>message.flags
    put_u16(fixed.attributes_size, <uint16_t>message.attributes.size)
    put_u32(fixed.header_size, <uint32_t>(message.added.size + message.header.size))
    put_u64(fixed.created_ms, message.created_ms)
    at = put(at + MESSAGE_FIXED_BYTES, message.attributes)
    return put(put(put(at, message.added), message.header), message.payload)


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
    message.flags = <uint8_t>fixed.flags
    message.attributes = view(value.data + MESSAGE_FIXED_BYTES, attributes)
    at = value.data + MESSAGE_FIXED_BYTES + attributes
    message.header = view(at, header)
    message.payload = view(at + header, rest)
    return 0


cdef uint64_t read_life(const StoredMessage* message) except? 0:
    """The life of a message that has one of its own, in milliseconds. CorruptRecord if it has none."""
    cdef uint64_t life_ms = message_number(message, TAG_LIFE)
    if life_ms == 0:
        raise CorruptRecord("a message without a life has the flag of one")
    return life_ms


cdef uint64_t name_of(const StoredMessage* message, uint64_t msg_id) except? 0:
    """The id that clients know of the message in the place `msg_id`. CorruptRecord if its attributes are
    wrong."""
    cdef uint64_t name
    if not message.flags & HAS_NAME:
        return msg_id
    name = message_number(message, TAG_NAME)
    if name == 0:
        raise CorruptRecord("a message without a name has the flag of one")
    return name - 1


cdef uint64_t message_number(const StoredMessage* message, MessageAttributeTag tag) except? 0:
    """The number in an attribute of a message; 0 if it has none. CorruptRecord if it is not a number."""
    cdef AttributeReader reader
    cdef uint64_t number = 0
    reader.rest = message.attributes
    reader.tag = 0
    while next_attribute(&reader):
        if reader.tag == <int>tag:
            read_number(&reader, &number)
    return number


cdef bytes pack_mailbox(const MailboxRecord* record):
    cdef int numbers = (record.created_ms != 0) + (record.delayed != 0) + (record.key_rows != 0)
    cdef Py_ssize_t attributes = record.options.size + numbers * NUMBER_BYTES
    cdef bytes value = PyBytes_FromStringAndSize(
        NULL, MAILBOX_FIXED_BYTES + record.description.size + attributes
    )
    cdef MailboxLayout* fixed = <MailboxLayout*>PyBytes_AS_STRING(value)
    cdef uint64_t dead_units = record.dead_bytes // DEAD_BYTES_UNIT
    cdef char* at
    cdef int rank
    check(attributes <= MAX_ATTRIBUTES_BYTES, b"the attributes of a mailbox fit into its record")
    fixed.version = RECORD_VERSION
    fixed.flags = <char>(
        (FLAG_PUBLIC if record.public else 0) | (FLAG_ID_ROWS if record.has_id_rows else 0)
        | (FLAG_FAILURE_ROWS if record.has_failure_rows else 0)
        | (FLAG_OWN_LIVES if record.has_own_lives else 0) | (FLAG_NAMES if record.has_names else 0)
        | (FLAG_RECEIPTS if record.has_receipts else 0)
        | (FLAG_REPLACED if record.has_replaced else 0)
    )
    put_u16(fixed.attributes_size, <uint16_t>attributes)
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
    at = put_number(put(<char*>(fixed + 1), record.description), TAG_CREATED_MS, record.created_ms)
    at = put_number(put(at, record.options), TAG_DELAYED, record.delayed)
    put_number(at, TAG_KEY_ROWS, record.key_rows)
    return value


cdef int unpack_mailbox(bytes value, MailboxRecord* record) except -1:
    """Unpack a mailbox record. DANGER: `record` points into `value`. CorruptRecord if a length, a
    uid or a time is wrong. The attributes in `options` are not checked."""
    cdef const MailboxLayout* fixed = <const MailboxLayout*>PyBytes_AS_STRING(value)
    cdef AttributeReader reader
    cdef int rank
    check_version(view_of(value), MAILBOX_FIXED_BYTES)
    record.public = fixed.flags & FLAG_PUBLIC != 0
    record.has_id_rows = fixed.flags & FLAG_ID_ROWS != 0
    record.has_own_lives = fixed.flags & FLAG_OWN_LIVES != 0
    record.has_names = fixed.flags & FLAG_NAMES != 0
    record.has_failure_rows = fixed.flags & FLAG_FAILURE_ROWS != 0
    record.has_receipts = fixed.flags & FLAG_RECEIPTS != 0
    record.has_replaced = fixed.flags & FLAG_REPLACED != 0
    record.description = view(<const char*>(fixed + 1), <Py_ssize_t>read_u32(fixed.description_size))
    reader.rest.size = <Py_ssize_t>read_u16(fixed.attributes_size)
    if record.description.size + reader.rest.size != PyBytes_GET_SIZE(value) - MAILBOX_FIXED_BYTES:
        raise CorruptRecord(f"a mailbox record of {len(value)} bytes does not have the length in it")
    reader.rest.data = record.description.data + record.description.size
    reader.tag = 0
    record.created_ms = record.delayed = record.key_rows = 0
    record.options = reader.rest
    while next_attribute(&reader):
        if reader.tag == TAG_CREATED_MS:
            read_number(&reader, &record.created_ms)
            record.options = reader.rest
        elif reader.tag == TAG_DELAYED:
            read_number(&reader, &record.delayed)
            record.options.size -= NUMBER_BYTES
        elif reader.tag == TAG_KEY_ROWS:
            read_number(&reader, &record.key_rows)
            record.options.size -= NUMBER_BYTES
    record.uid = read_u64(fixed.uid)
    record.next_id = read_u64(fixed.next_id)
    record.renewed_ms = read_u64(fixed.renewed_ms)
    record.ttl_seconds = read_u64(fixed.ttl_seconds)
    if record.renewed_ms >> MAX_TIME_BITS or record.ttl_seconds >> MAX_TTL_BITS or record.uid + 1 == 0:
        raise CorruptRecord("a mailbox record has a uid or a time that is out of range")
    for rank in range(RANKS):
        record.head[rank] = read_u64(fixed.head[rank])
        record.count[rank] = read_u64(fixed.count[rank])
    record.size_bytes = read_u64(fixed.size_bytes)
    record.id_epoch = read_u32(fixed.id_epoch)
    record.dead_bytes = <uint64_t>read_u32(fixed.dead_units) * DEAD_BYTES_UNIT
    return 0
