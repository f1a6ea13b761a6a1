"""Reading and writing of what is stored. The layout is drawn in mq9fast/storage/layout.py."""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.view cimport View


cdef enum:
    FORMAT_VERSION = 3        # of the directory; storage/layout.py says what changing it takes
    RECORD_VERSION = 1        # of a mailbox's record and of a message
    MESSAGE_KEY_BYTES = 18
    MESSAGE_FIXED_BYTES = 16
    MAILBOX_FIXED_BYTES = 104
    DEAD_UNIT = 256           # bytes


cdef struct MailboxRecord:
    bint public
    uint64_t uid
    uint64_t next_id
    uint64_t renewed_ms
    uint64_t ttl_seconds
    uint64_t head[3]
    uint64_t count[3]
    uint64_t size_bytes
    uint64_t dead_bytes       # in whole DEAD_UNITs once it was stored
    uint32_t jumps
    View description


cdef struct StoredMessage:
    # DANGER: header and payload point into the value that was read.
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
