"""The codec of value pointers and of the head of a segment; value_format.pxd draws both."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from mq9fast._core.base.crc32c cimport crc32c
from mq9fast._core.storage.row_format cimport VALUE_POINTER_VERSION, put_u32, put_u64, read_u32, read_u64


cdef bytes pack_value_pointer(const ValuePointer* pointer):
    cdef bytes value = PyBytes_FromStringAndSize(NULL, VALUE_POINTER_BYTES)
    cdef ValuePointerLayout* at = <ValuePointerLayout*>PyBytes_AS_STRING(value)
    memset(at, 0, sizeof(ValuePointerLayout))
    at.version = VALUE_POINTER_VERSION
    at.count = <char>pointer.count
    at.kept = <char>pointer.kept
    at.flags = <char>pointer.flags
    at.known = <char>pointer.known
    put_u32(at.value_crc, pointer.crc)
    put_u64(at.segment, pointer.segment)
    put_u32(at.offset, pointer.offset)
    put_u32(at.value_size, pointer.size)
    put_u32(at.content, pointer.content)
    return value


cdef void unpack_value_pointer(const char* value, ValuePointer* pointer) noexcept:
    """Unpack a value for which `is_value_pointer` is true."""
    cdef const ValuePointerLayout* at = <const ValuePointerLayout*>value
    pointer.count = <unsigned char>at.count
    pointer.kept = <unsigned char>at.kept
    pointer.flags = <uint8_t>at.flags
    pointer.known = at.known != 0
    pointer.crc = read_u32(at.value_crc)
    pointer.segment = read_u64(at.segment)
    pointer.offset = read_u32(at.offset)
    pointer.size = read_u32(at.value_size)
    pointer.content = read_u32(at.content)


cdef bint describes_message(bytes value, ValuePointer* pointer) noexcept:
    """Whether a row, or None, points to a single message and says its size and flags: unpack it then."""
    if value is None or not is_value_pointer(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
        return False
    unpack_value_pointer(PyBytes_AS_STRING(value), pointer)
    return pointer.known


def pack_segment_head(uint64_t number) -> bytes:
    """The first bytes of the segment file with this number."""
    cdef SegmentHeadLayout head
    memset(&head, 0, sizeof(head))
    memcpy(head.magic, b"mq9v", sizeof(head.magic))
    put_u32(head.version, SEGMENT_VERSION)
    put_u64(head.number, number)
    put_u32(head.crc, crc32c(<const char*>&head, 16))
    return PyBytes_FromStringAndSize(<const char*>&head, sizeof(head))


def is_segment_head(bytes data not None, uint64_t number) -> bool:
    """Whether `data` begins as the segment file with this number does."""
    cdef bytes wanted = pack_segment_head(number)
    return (
        PyBytes_GET_SIZE(data) >= SEGMENT_HEAD_BYTES
        and memcmp(PyBytes_AS_STRING(data), PyBytes_AS_STRING(wanted), SEGMENT_HEAD_BYTES) == 0
    )
