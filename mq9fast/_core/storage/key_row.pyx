"""The codec of rows of keys; key_row.pxd says who uses it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from mq9fast._core.base.sip_hash cimport Hash128
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.row_format cimport (
    DELAYED_RANK, KEY_ROW_BYTES, KEY_ROW_KEY_BYTES, KEY_ROW_VERSION, KEYS_RANK, MESSAGES, KeyRowKeyLayout,
    KeyRowLayout, put_u64, read_u64
)

from mq9fast._core.storage.record import CorruptRecord


cdef bytes key_of_row(uint64_t uid, Hash128 hashed):
    """The key of the row of a key, by its hash."""
    cdef bytes key = PyBytes_FromStringAndSize(NULL, KEY_ROW_KEY_BYTES)
    cdef KeyRowKeyLayout* at = <KeyRowKeyLayout*>PyBytes_AS_STRING(key)
    at.prefix = MESSAGES
    put_u64(at.uid, uid)
    at.rank = KEYS_RANK
    put_u64(at.hash_low, hashed.low)
    put_u64(at.hash_high, hashed.high)
    return key


cdef bytes pack_key_row(int rank, uint64_t msg_id):
    cdef bytes value = PyBytes_FromStringAndSize(NULL, KEY_ROW_BYTES)
    cdef KeyRowLayout* at = <KeyRowLayout*>PyBytes_AS_STRING(value)
    at.version = KEY_ROW_VERSION
    at.rank = <char>rank
    memset(at.reserved, 0, sizeof(at.reserved))
    put_u64(at.msg_id, msg_id)
    return value


cdef int unpack_key_row(bytes value, int* rank, uint64_t* msg_id) except -1:
    """Unpack a row; CorruptRecord if it is not one."""
    cdef const KeyRowLayout* at = <const KeyRowLayout*>PyBytes_AS_STRING(value)
    if (
        PyBytes_GET_SIZE(value) != KEY_ROW_BYTES or at.version != KEY_ROW_VERSION
        or <uint8_t>at.rank % DELAYED_RANK >= RANKS or <uint8_t>at.rank >= 2 * DELAYED_RANK
    ):
        raise CorruptRecord(f"a stored row of {len(value)} bytes is not the row of a key")
    rank[0] = <int>at.rank
    msg_id[0] = read_u64(at.msg_id)
    return 0
