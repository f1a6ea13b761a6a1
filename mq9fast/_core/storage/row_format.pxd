"""The format of the store: every key and value, drawn and as structs.

`record` and `record_batch` pack and unpack values with these structs: the compiler computes all sizes and
offsets from the fields. mq9fast/storage/layout.py has the keys that only Python uses, and the checks of the
format at a start.

Numbers are unsigned and big-endian, so that the order of bytes is the order of numbers.

    key                                      value
    'v'                                      version(8)             the format of the whole directory
    'u'                                      next_uid(8) epoch(8)   all smaller uids were given to mailboxes
    'j'                                      epoch(8) random(8)     the id epoch; 8 random bytes of this start
    'n'                                      count(8)               mailbox records, or fewer
    'h'                                      random(16)             the key of hashes of Nats-Msg-Ids
    's'                                      nothing                after a stop without orphaned messages
    'b' address                              a mailbox record
    'm' uid(8) rank(1) msg_id(8)             a single message; rank 0 critical, 1 urgent, 2 normal
    'm' uid(8) rank(1) last_id(8) 0(1)       a record batch: messages of one commit group
    'm' uid(8) rank(1) last_id(8)            the deletion bitmap of that batch; last_id is its last message's
    'm' uid(8) 3(1) last_id(8)               Nats-Msg-Ids; last_id is the msg_id of the last one
    'm' uid(8) 4(1) msg_id(8)                the failed deliveries of a message
    'm' uid(8) 8(1) + rank msg_id(8)         a delayed message, which has no place yet
    'm' uid(8) 12(1) msg_id(8) / 64          names: the places of formerly delayed messages with these msg_ids
    'm' uid(8) 14(1) hash(16)                a key of messages; hash is the SipHash of the key
    'm' uid(8) 15(1) msg_id(8)               rank(1)                a replaced message that members hold
    'p' uid(8)                               count(8) size(8)       messages of an ended mailbox, to be purged
                                             length(1) address receipts_to 0(1) dead_letter
                                                                     if receipts or dead letters are wanted
    't' due_ms(8) uid(8) last_id(8)          a due row: messages of one mailbox that are due at this time
    'l' segment(8)                           nothing                a segment of the value log
    'r'                                      a position             of a node of a cluster, in the log

    A value of messages of MIN_LOGGED_BYTES or more is in the value log, and its row has a value pointer
    instead (`value_format`).

    A uid is never reused, and an address may be: a mailbox that is created again has a new uid.

    mailbox record
    0      1      2              4              8     16        24            32
    +------+------+--------------+--------------+-----+---------+-------------+-------------+
    | 1    | flags| attr. length | desc. length | uid | next_id | renewed_ms  | ttl_seconds |
    +------+------+--------------+--------------+-----+---------+-------------+-------------+
    40                      64                         88           96                 104
    +-----------------------+--------------------------+------------+------------------+-----------+
    | head of each rank     | count of each rank       | size_bytes | epoch(4) dead(4) | see below |
    +-----------------------+--------------------------+------------+------------------+-----------+
    flags: bit 0 public, bit 1 there may be rows of Nats-Msg-Ids, bit 2 messages with a life of their own, bit
    3 rows of names, bit 4 rows of failed deliveries, bit 5 messages with Mq9-Receipt-To, bit 6 rows of
    replaced messages. head: no stored message of that rank has a smaller id. epoch: the id epoch when the
    record was written. A start that may have lost ids raises the id epoch under 'j'. For each epoch since
    then, loading the record adds 1 << 32 to next_id. So lost ids are not given again, and no record has to be
    rewritten after a loss. The same is true of 'u'. dead: the size of deleted messages that record batches
    still hold, in units of 256 bytes, rounded down.

    message
    0      1   2                   4               8              16
    +------+---+-------------------+---------------+--------------+------------+--------+---------+
    | 1    | F | attributes length | header length | created_ms   | attributes | header | payload |
    +------+---+-------------------+---------------+--------------+------------+--------+---------+
    F: the flags of MessageFlag, so that readers know whether to look further. header: as in HMSG, with the
    `NATS/1.0` line and the blank line at the end. attributes: as those of a mailbox, with the tags of
    MessageAttributeTag. They do not count as bytes of the mailbox.

    record batch, of 2 to 64 messages
    0      1       2   8                                 8 + 12 * count
    +------+-------+---+---------------------------------+----------------------------+
    | 2    | count | 0 | count times: msg_id(8) end(4)   | messages, each as above    |
    +------+-------+---+---------------------------------+----------------------------+
    end: where the message ends, counted from where the first one begins. The ids of a batch differ by less
    than 1,024, which limits how far a lookup of an id has to search.

    thinned record batch: replaces a batch in which most messages are deleted, under the same key
    0      1       2   8         16                                      16 + 12 * those kept
    +------+-------+---+---------+---------------------------------------+--------------------------------+
    | 4    | count | 0 | kept(8) | for each that is kept: msg_id(8) end(4) | those that are kept            |
    +------+-------+---+---------+---------------------------------------+--------------------------------+
    kept: bit n (1 << n) is set if the n-th message of the original batch is still in it. The deletion bitmap
    has the others as deleted.

    deletion bitmap
    0      1   4            8               16
    +------+---+------------+---------------+
    | 3    | 0 | dead bytes | deleted       |    bit n (1 << n): the n-th message is deleted
    +------+---+------------+---------------+
    dead bytes: the size of deleted messages in the batch, with their entries. Batch and bitmap are deleted
    together with the last message.

    Nats-Msg-Ids: those that one commit group brings to a mailbox, at most 1,024 in a row
    0      1   4       8            16
    +------+---+-------+------------+-------------------------------------------------------+
    | 6    | 0 | count | created_ms | count times: SipHash of the id(16) msg_id(8)           |
    +------+---+-------+------------+-------------------------------------------------------+
    created_ms: when the last of them was accepted, or a little later.

    failed deliveries of a message
    0      1       2   4       8         16
    +------+-------+---+-------+---------+------+
    | 7    | flags | 0 | count | due_ms  | text |    no queue group gets the message before due_ms, in broker
    +------+-------+---+-------+---------+------+    time
    flags: 1: it is dead because of +TERM, with this text; 2: because it failed too often. Its mailbox for
    dead letters was full, and no client gets it.

    due row
    0      1   2                4       8
    +------+---+----------------+-------+---------+---------------------------------+
    | 8    | 0 | address length | count | address | count times: kind(1) msg_id(8)  |
    +------+---+----------------+-------+---------+---------------------------------+
    kind: the rank of a message whose life ends, or 8 + the rank of a delayed message; 4: dead messages of the
    mailbox are to be moved, and msg_id is of none. due_ms is the end
    of a step of DUE_STEP_MS. A due row may be of a mailbox that has ended, and of messages that are deleted.

    names
    0      1
    +------+------------------------------------------------------+
    | 9    | for each name: msg_id(8) rank(1) id of its place(8)  |
    +------+------------------------------------------------------+

    key of messages: the message that has it, unless that was deleted. rank: 8 more if it is delayed
    0      1      2   8
    +------+------+---+--------+
    | 10   | rank | 0 | msg_id |
    +------+------+---+--------+

A change of the format raises FORMAT_VERSION, and must still read all earlier versions. A broker refuses a
directory of a later version, because it could damage data that it does not know. Format 1 had no record
batches. Format 2 had no thinned batches, dead bytes, count and id epoch. Format 3 had no attributes, no flags
of messages, no value log, no Nats-Msg-Ids, due rows, delayed messages and names.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from mq9fast._core.protocol.literals cimport RANKS


cdef enum:
    FORMAT_VERSION = 4              # of a data directory
    MAX_ID_EPOCH = 0xFFFF
    EPOCH_BITS = 32                 # the ids of a new id epoch begin 1 << EPOCH_BITS higher

    # The first byte of a value. The first one is that of a mailbox record and of a message.
    RECORD_VERSION = 1
    BATCH_VERSION = 2
    DELETION_BITMAP_VERSION = 3
    THINNED_BATCH_VERSION = 4
    VALUE_POINTER_VERSION = 5
    ID_ROW_VERSION = 6
    FAILURE_VERSION = 7
    DUE_ROW_VERSION = 8
    NAME_ROW_VERSION = 9
    KEY_ROW_VERSION = 10

    IDS_RANK = 3                    # in the key of a row of Nats-Msg-Ids, behind the ranks of messages
    MAX_ROW_IDS = 1024
    FAILURES_RANK = 4               # in the key of a row of failed deliveries
    DELAYED_RANK = 8                # in the key of a delayed message, plus its rank
    NAMES_RANK = 12
    NAMES_BITS = 6                  # a row has the names whose ids are the same without so many last bits
    DUE_STEP_MS = 250
    MAX_ROW_DUE = 96
    KEYS_RANK = 14                  # in the key of a row of a key of messages
    REPLACED_RANK = 15              # in the key of a row of a replaced message

    MAX_BATCH_MESSAGES = 64         # the bits of a deletion bitmap
    BATCH_ID_SPAN = 1024            # the ids of a batch differ by less, which bounds the search for an id
    DEAD_BYTES_UNIT = 256           # a mailbox record counts dead bytes in this unit


cdef enum AttributeTag:
    # Of a mailbox.
    TAG_CREATED_MS = 1
    TAG_MAX_MESSAGES = 2
    TAG_MAX_BYTES = 3
    TAG_DUPLICATE_WINDOW = 4        # in milliseconds, plus 1
    TAG_DISCARD = 5                 # 1: "old"
    TAG_MAX_AGE = 10                # in milliseconds
    TAG_MAX_IN_FLIGHT = 15          # plus 1
    TAG_ACK_WAIT = 16               # in milliseconds
    TAG_MAX_DELIVER = 17
    TAG_BACKOFF = 20                # numbers of 8 bytes, in milliseconds
    TAG_DEAD_LETTER = 21            # an address
    TAG_DEAD_LETTER_EXPIRED = 22    # one byte: 1
    TAG_RECEIPTS_TO = 25            # an address
    TAG_DELAYED = 64                # how many messages are delayed; not an option, and behind all options
    TAG_KEY_ROWS = 65               # rows of keys of messages; likewise


cdef enum MessageFlag:
    HAS_REPLY_TO = 1                # the header has Mq9-Reply-To
    HAS_RECEIPT_TO = 2              # the header has Mq9-Receipt-To
    HAS_KEY = 4                     # it has a key: Mq9-Key, or that of an answer
    HAS_LIFE = 8                    # the attributes have its life
    HAS_NAME = 16                   # the attributes have its msg_id, which is not the id in the row
    IS_RECEIPT = 32                 # the broker composed it as a receipt


cdef enum MessageAttributeTag:
    TAG_LIFE = 1                    # in milliseconds from created_ms on; ENDLESS_LIFE: max_age does not count
    TAG_NAME = 2                    # its msg_id, plus 1, if that is not the id in the row
    TAG_DUE_MS = 3                  # when it takes its place


# Every field is an array of bytes, so that there is no padding.


cdef struct MessageKeyLayout "mq9fast_message_key":
    char prefix                     # MESSAGES
    char uid[8]
    char rank
    char msg_id[8]


cdef struct BatchKeyLayout "mq9fast_batch_key":
    MessageKeyLayout last_message   # which is also the key of the deletion bitmap
    char zero


cdef struct KeyRowKeyLayout "mq9fast_key_row_key":
    char prefix                     # MESSAGES
    char uid[8]
    char rank                       # KEYS_RANK
    char hash_low[8]
    char hash_high[8]


cdef struct KeyRowLayout "mq9fast_key_row":
    char version
    char rank
    char reserved[6]
    char msg_id[8]


cdef struct MailboxLayout "mq9fast_mailbox":
    # Followed by the description and the attributes.
    char version
    char flags
    char attributes_size[2]
    char description_size[4]
    char uid[8]
    char next_id[8]
    char renewed_ms[8]
    char ttl_seconds[8]
    char head[RANKS][8]
    char count[RANKS][8]
    char size_bytes[8]
    char id_epoch[4]
    char dead_units[4]


cdef struct AttributeLayout "mq9fast_attribute":
    # Followed by the value.
    char tag
    char size[2]


cdef struct NumberLayout "mq9fast_number":
    # An attribute that is a number.
    AttributeLayout fixed
    char value[8]


cdef struct MessageLayout "mq9fast_message":
    # Followed by attributes, header and payload.
    char version
    char flags
    char attributes_size[2]
    char header_size[4]
    char created_ms[8]


cdef struct BatchLayout "mq9fast_batch":
    # Followed by entries and messages.
    char version
    char count
    char reserved[6]


cdef struct BatchEntryLayout "mq9fast_batch_entry":
    char msg_id[8]
    char end[4]


cdef struct ThinnedBatchLayout "mq9fast_thinned_batch":
    # Followed by entries and messages.
    char version
    char count
    char reserved[6]
    char kept[8]


cdef struct DeletionBitmapLayout "mq9fast_deletion_bitmap":
    char version
    char reserved[3]
    char dead_bytes[4]
    char deleted[8]


cdef struct IdRowLayout "mq9fast_id_row":
    # Followed by entries.
    char version
    char reserved[3]
    char count[4]
    char created_ms[8]


cdef struct IdRowEntryLayout "mq9fast_id_row_entry":
    char hash_low[8]
    char hash_high[8]
    char msg_id[8]


cdef struct FailureLayout "mq9fast_failure":
    # Followed by the text of +TERM.
    char version
    char flags
    char reserved[2]
    char count[4]
    char due_ms[8]


cdef struct DueKeyLayout "mq9fast_due_key":
    char prefix                     # DUE_ROWS
    char due_ms[8]
    char uid[8]
    char last_id[8]


cdef struct DueRowLayout "mq9fast_due_row":
    # Followed by the address and entries.
    char version
    char reserved
    char address_size[2]
    char count[4]


cdef struct DueEntryLayout "mq9fast_due_entry":
    char kind
    char msg_id[8]


cdef struct NameEntryLayout "mq9fast_name_entry":
    char name[8]
    char rank
    char place[8]


cdef extern from *:
    """
    #define MQ9FAST_BYTES_OF(layout) ((Py_ssize_t)sizeof(struct layout))
    #define MQ9FAST_MESSAGE_OVERHEAD_BYTES \\
        (MQ9FAST_BYTES_OF(mq9fast_message) + MQ9FAST_BYTES_OF(mq9fast_batch_entry))
    """
    const uint64_t ENDLESS_LIFE "UINT64_MAX"

    # The first byte of a key.
    const char MAILBOXES "'b'"
    const char MESSAGES "'m'"
    const char DUE_ROWS "'t'"

    const Py_ssize_t MESSAGE_KEY_BYTES "MQ9FAST_BYTES_OF(mq9fast_message_key)"
    const Py_ssize_t BATCH_KEY_BYTES "MQ9FAST_BYTES_OF(mq9fast_batch_key)"
    const Py_ssize_t KEY_ROW_KEY_BYTES "MQ9FAST_BYTES_OF(mq9fast_key_row_key)"
    const Py_ssize_t KEY_ROW_BYTES "MQ9FAST_BYTES_OF(mq9fast_key_row)"
    const Py_ssize_t MAILBOX_FIXED_BYTES "MQ9FAST_BYTES_OF(mq9fast_mailbox)"
    const Py_ssize_t ATTRIBUTE_FIXED_BYTES "MQ9FAST_BYTES_OF(mq9fast_attribute)"
    const Py_ssize_t NUMBER_BYTES "MQ9FAST_BYTES_OF(mq9fast_number)"
    const Py_ssize_t MESSAGE_FIXED_BYTES "MQ9FAST_BYTES_OF(mq9fast_message)"
    const Py_ssize_t BATCH_FIXED_BYTES "MQ9FAST_BYTES_OF(mq9fast_batch)"
    const Py_ssize_t BATCH_ENTRY_BYTES "MQ9FAST_BYTES_OF(mq9fast_batch_entry)"
    const Py_ssize_t THINNED_BATCH_FIXED_BYTES "MQ9FAST_BYTES_OF(mq9fast_thinned_batch)"
    # Of a message in a record batch, besides header and payload.
    const Py_ssize_t MESSAGE_OVERHEAD_BYTES "MQ9FAST_MESSAGE_OVERHEAD_BYTES"
    const Py_ssize_t DELETION_BITMAP_BYTES "MQ9FAST_BYTES_OF(mq9fast_deletion_bitmap)"
    const Py_ssize_t ID_ROW_FIXED_BYTES "MQ9FAST_BYTES_OF(mq9fast_id_row)"
    const Py_ssize_t FAILURE_BYTES "MQ9FAST_BYTES_OF(mq9fast_failure)"
    const Py_ssize_t DUE_KEY_BYTES "MQ9FAST_BYTES_OF(mq9fast_due_key)"
    const Py_ssize_t DUE_ROW_FIXED_BYTES "MQ9FAST_BYTES_OF(mq9fast_due_row)"
    const Py_ssize_t DUE_ENTRY_BYTES "MQ9FAST_BYTES_OF(mq9fast_due_entry)"
    const Py_ssize_t NAME_ENTRY_BYTES "MQ9FAST_BYTES_OF(mq9fast_name_entry)"
    const Py_ssize_t ID_ROW_ENTRY_BYTES "MQ9FAST_BYTES_OF(mq9fast_id_row_entry)"


cdef inline uint64_t read_u64(const char* at) noexcept nogil:
    cdef const unsigned char* b = <const unsigned char*>at
    return (
        (<uint64_t>b[0] << 56) | (<uint64_t>b[1] << 48) | (<uint64_t>b[2] << 40) | (<uint64_t>b[3] << 32)
        | (<uint64_t>b[4] << 24) | (<uint64_t>b[5] << 16) | (<uint64_t>b[6] << 8) | <uint64_t>b[7]
    )


cdef inline void put_u64(char* at, uint64_t n) noexcept nogil:
    cdef int i
    for i in range(8):
        at[i] = <char>((n >> (56 - 8 * i)) & 0xFF)


cdef inline uint32_t read_u32(const char* at) noexcept nogil:
    cdef const unsigned char* b = <const unsigned char*>at
    return (<uint32_t>b[0] << 24) | (<uint32_t>b[1] << 16) | (<uint32_t>b[2] << 8) | <uint32_t>b[3]


cdef inline void put_u32(char* at, uint32_t n) noexcept nogil:
    cdef int i
    for i in range(4):
        at[i] = <char>((n >> (24 - 8 * i)) & 0xFF)


cdef inline uint16_t read_u16(const char* at) noexcept nogil:
    cdef const unsigned char* b = <const unsigned char*>at
    return <uint16_t>((b[0] << 8) | b[1])


cdef inline void put_u16(char* at, uint16_t n) noexcept:
    at[0] = <char>(n >> 8)
    at[1] = <char>(n & 0xFF)
