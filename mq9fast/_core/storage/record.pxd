"""The codec of mailbox records and of single messages in the store: pack and unpack, on borrowed bytes.

`MailboxIndex` packs and loads mailbox records, `BatchPuts` packs messages, and the readers of record batches
unpack them. Nothing here reads or writes the store. mq9fast/storage/layout.py has a drawing of the layout.
"""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.view cimport View


cdef enum:
    FORMAT_VERSION = 3          # of a data directory; storage/layout.py says what a new version has to do
    RECORD_VERSION = 1          # first byte of a mailbox record and of a message
    MESSAGE_KEY_BYTES = 18
    MESSAGE_FIXED_BYTES = 16    # of a message, before its attributes, header and payload
    MAILBOX_FIXED_BYTES = 104   # of a mailbox record, before the description
    DEAD_BYTES_UNIT = 256       # a mailbox record counts dead bytes in this unit


cdef struct MailboxRecord:
    bint public
    uint64_t uid
    uint64_t next_id
    uint64_t renewed_ms
    uint64_t ttl_seconds
    uint64_t head[3]          # by rank: every stored message has this id or a larger one
    uint64_t count[3]         # by rank: messages
    uint64_t size_bytes       # of all headers and payloads
    uint64_t dead_bytes       # that deleted messages still take; stored in DEAD_BYTES_UNITs, rounded down
    uint32_t jumps
    View description          # DANGER: points into the record that was unpacked


cdef struct StoredMessage:
    # DANGER: header and payload point into the value that was unpacked.
    uint64_t created_ms
    View header
    View payload


cdef inline uint64_t read_u64(const char* at) noexcept:
    cdef const unsigned char* b = <const unsigned char*>at
    return (
        (<uint64_t>b[0] << 56) | (<uint64_t>b[1] << 48) | (<uint64_t>b[2] << 40) | (<uint64_t>b[3] << 32)
        | (<uint64_t>b[4] << 24) | (<uint64_t>b[5] << 16) | (<uint64_t>b[6] << 8) | <uint64_t>b[7]
    )


cdef inline char* put_u64(char* at, uint64_t n) noexcept:
    cdef int i
    for i in range(8):
        at[i] = <char>((n >> (56 - 8 * i)) & 0xFF)
    return at + 8


cdef inline uint32_t read_u32(const char* at) noexcept:
    cdef const unsigned char* b = <const unsigned char*>at
    return (<uint32_t>b[0] << 24) | (<uint32_t>b[1] << 16) | (<uint32_t>b[2] << 8) | <uint32_t>b[3]


cdef inline char* put_u32(char* at, uint32_t n) noexcept:
    cdef int i
    for i in range(4):
        at[i] = <char>((n >> (24 - 8 * i)) & 0xFF)
    return at + 4


cdef bytes message_key(uint64_t uid, int rank, uint64_t msg_id)
cdef char* put_message(char* at, uint64_t created_ms, View header, View payload) noexcept
cdef int unpack_message(View value, StoredMessage* message) except -1
cdef bytes pack_mailbox(const MailboxRecord* record)
cdef int unpack_mailbox(bytes value, MailboxRecord* record) except -1
