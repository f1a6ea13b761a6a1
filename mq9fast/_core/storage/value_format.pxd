"""The format of the value log: its segment files, and the value pointers in the store's rows.

A row of messages of MIN_LOGGED_BYTES or more is appended to a segment file, and the store has a value pointer
under its key. So RocksDB neither logs, compresses nor compacts what is large. `value_batch` writes records,
`value_reader` reads values, `segment_scanner` reads records in order. Numbers are unsigned and big-endian, as
in `row_format`.

    segment file, values-NNNNNNNN.seg
    0        4            8         16     20
    +--------+------------+---------+------+-----------+---------
    | "mq9v" | version(4) | segment | crc  | 0, to 32  | records
    +--------+------------+---------+------+-----------+---------
    segment: the number in the file's name. crc: CRC-32C of the 16 bytes before.

    record
    0      4          6      8            12          16
    +------+----------+------+------------+-----------+-----+-------+
    | crc  | key size | 0    | value size | value crc | key | value |
    +------+----------+------+------------+-----------+-----+-------+
    crc: CRC-32C of the head from byte 4 on, and of the key. value crc: CRC-32C of the value.

    value pointer
    0      1       2      3       4            8         16       20           24        28      29
    +------+-------+------+-------+------------+---------+--------+------------+---------+-------+-----+
    | 5    | count | kept | flags | value crc  | segment | offset | value size | content | known | 0   |
    +------+-------+------+-------+------------+---------+--------+------------+---------+-------+-----+
    count: messages that the row was written with. kept: messages that a thinned row still has, otherwise the
    same. offset: where the value begins in the segment. content: size of the headers and payloads of those.
    known: 1 if the row is one message and `flags` are its flags. Then content does not include attributes.
    Pointers of earlier builds have 0.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mq9fast._core.storage.row_format cimport VALUE_POINTER_VERSION


cdef enum:
    MIN_LOGGED_BYTES = 1024         # smaller values stay in RocksDB, which packs and compresses them
    SEGMENT_VERSION = 1


cdef struct SegmentHeadLayout "mq9fast_segment_head":
    char magic[4]
    char version[4]
    char number[8]
    char crc[4]
    char reserved[12]


cdef struct ValueRecordLayout "mq9fast_value_record":
    # Followed by key and value.
    char crc[4]
    char key_size[2]
    char reserved[2]
    char value_size[4]
    char value_crc[4]


cdef struct ValuePointerLayout "mq9fast_value_pointer":
    char version
    char count
    char kept
    char flags
    char value_crc[4]
    char segment[8]
    char offset[4]
    char value_size[4]
    char content[4]
    char known
    char reserved[3]


cdef extern from *:
    """
    #define MQ9FAST_SEGMENT_HEAD_BYTES ((Py_ssize_t)sizeof(struct mq9fast_segment_head))
    #define MQ9FAST_VALUE_RECORD_BYTES ((Py_ssize_t)sizeof(struct mq9fast_value_record))
    #define MQ9FAST_VALUE_POINTER_BYTES ((Py_ssize_t)sizeof(struct mq9fast_value_pointer))
    """
    const Py_ssize_t SEGMENT_HEAD_BYTES "MQ9FAST_SEGMENT_HEAD_BYTES"
    const Py_ssize_t VALUE_RECORD_BYTES "MQ9FAST_VALUE_RECORD_BYTES"
    const Py_ssize_t VALUE_POINTER_BYTES "MQ9FAST_VALUE_POINTER_BYTES"


cdef struct ValuePointer:
    uint64_t segment
    uint32_t offset
    uint32_t size
    uint32_t crc
    uint32_t content
    int count
    int kept
    uint8_t flags
    bint known                # the row is one message, with these flags


cdef inline bint is_value_pointer(const char* value, Py_ssize_t size) noexcept:
    return size == VALUE_POINTER_BYTES and value[0] == VALUE_POINTER_VERSION


cdef bint describes_message(bytes value, ValuePointer* pointer) noexcept
cdef bytes pack_value_pointer(const ValuePointer* pointer)
cdef void unpack_value_pointer(const char* value, ValuePointer* pointer) noexcept
