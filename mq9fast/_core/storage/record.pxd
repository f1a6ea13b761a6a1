"""The codec of mailbox records and of single messages in the store: pack and unpack, on borrowed bytes.

`MailboxIndex` packs and loads mailbox records, `MailboxOptions` reads their attributes, `BatchPuts` packs
messages, and the readers of record batches unpack them. Nothing here reads or writes the store. `row_format`
has a drawing of the layout.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mq9fast._core.base.view cimport View, empty_view, slice_from, view_of
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.row_format cimport (
    MessageAttributeTag, MessageKeyLayout, NumberLayout, put_u16, put_u64
)


cdef struct MailboxRecord:
    bint public
    bint has_id_rows
    bint has_failure_rows
    bint has_receipts         # there may be messages with Mq9-Receipt-To
    bint has_replaced         # there may be rows of replaced messages
    uint64_t uid
    uint64_t next_id
    uint64_t renewed_ms
    uint64_t ttl_seconds
    uint64_t head[RANKS]      # by rank: every stored message has this id or a larger one
    uint64_t count[RANKS]     # by rank: messages
    uint64_t size_bytes       # of all headers and payloads
    uint64_t dead_bytes       # that deleted messages still take; stored in DEAD_BYTES_UNITs, rounded down
    uint32_t id_epoch         # when the record was written; see MailboxIndex.id_epoch
    View description          # DANGER: points into the record that was unpacked, like `options`
    uint64_t created_ms       # 0 = unknown
    bint has_own_lives        # there may be messages with a life of their own
    bint has_names            # there may be rows of names
    uint64_t delayed          # messages that have no place yet
    uint64_t key_rows         # rows of keys of messages
    View options              # the attributes that are options, packed


cdef struct NewMessage:
    # A message to be stored. DANGER: the Views point into what its sender sent.
    int rank
    uint64_t msg_id
    uint64_t created_ms
    uint64_t delay_ms         # until it takes its place; 0 = at once
    uint64_t life_ms          # 0 = as long as others, ENDLESS_LIFE = max_age does not count
    uint8_t flags             # the set of MessageFlags
    bint composed             # by the broker, which deletes another in the same batch: see CommitGroup
    View attributes           # packed
    View key                  # of the message; empty if it has none
    View added                # headers of the broker, with the NATS/1.0 line; empty if there are none
    View header               # what follows them: other headers, or the whole block
    View payload


cdef inline Py_ssize_t content_bytes(const NewMessage* message) noexcept:
    """The size of its headers and payload."""
    return message.added.size + message.header.size + message.payload.size


cdef inline NewMessage empty_message() noexcept:
    cdef NewMessage message
    message.rank = 0
    message.msg_id = message.created_ms = message.delay_ms = message.life_ms = 0
    message.flags = 0
    message.composed = False
    message.attributes = message.key = message.added = message.header = message.payload = empty_view()
    return message


cdef struct StoredMessage:
    # DANGER: attributes, header and payload point into the value that was unpacked.
    uint64_t created_ms
    uint8_t flags             # the set of MessageFlags
    View attributes
    View header
    View payload


cdef struct AttributeReader:
    View rest                 # DANGER: what is not read yet of the attributes of a record
    int tag                   # of the attribute that was read last; 0 before the first
    View value                # DANGER: its value


cdef uint64_t read_life(const StoredMessage* message) except? 0
cdef uint64_t name_of(const StoredMessage* message, uint64_t msg_id) except? 0
cdef uint64_t message_number(const StoredMessage* message, MessageAttributeTag tag) except? 0


cdef inline View address_in(bytes mailbox_key) noexcept:
    """The address in the key of a mailbox record."""
    return slice_from(view_of(mailbox_key), 1)


cdef inline char* put_number(char* at, int tag, uint64_t number) noexcept:
    """Write an attribute that is a number, unless it is 0; returns the end."""
    cdef NumberLayout* attribute = <NumberLayout*>at
    if number == 0:
        return at
    attribute.fixed.tag = <char>tag
    put_u16(attribute.fixed.size, sizeof(attribute.value))
    put_u64(attribute.value, number)
    return <char*>(attribute + 1)


cdef bint next_attribute(AttributeReader* reader) except -1
cdef int read_number(const AttributeReader* reader, uint64_t* number) except -1
cpdef bytes mailbox_key(bytes address)
cpdef bytes message_key(uint64_t uid, int rank, uint64_t msg_id)
cdef void put_message_key(MessageKeyLayout* at, uint64_t uid, int rank, uint64_t msg_id) noexcept
cdef char* put_message(char* at, const NewMessage* message) noexcept
cdef int unpack_message(View value, StoredMessage* message) except -1
cdef bytes pack_mailbox(const MailboxRecord* record)
cdef int unpack_mailbox(bytes value, MailboxRecord* record) except -1
