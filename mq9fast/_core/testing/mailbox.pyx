"""Remembered Nats-Msg-Ids, called from Python."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint64_t

from mq9fast._core.base.sip_hash cimport Hash128
from mq9fast._core.mailbox.remembered_ids cimport BLOCK_IDS, RememberedId, RememberedIds
from mq9fast._core.storage.row_format cimport MessageKeyLayout, read_u64


cdef Hash128 hash_of(tuple pair):
    cdef Hash128 hashed
    hashed.low, hashed.high = pair
    return hashed


cdef class ExposedIds(RememberedIds):
    """RememberedIds with methods for Python. A hash is a pair of numbers."""

    def __len__(self) -> int:
        return self.count()

    @property
    def bytes_used(self) -> int:
        """Of ids, slots and blocks."""
        cdef uint64_t blocks = (self.end + BLOCK_IDS - 1) // BLOCK_IDS - self.first // BLOCK_IDS
        return (
            blocks * BLOCK_IDS * sizeof(RememberedId) + self.block_capacity * sizeof(RememberedId*)
            + (self.table.size + self.old_table.size) * 4
        )

    def find_id(self, tuple hashed not None, uint64_t oldest_ms):
        """The msg_id, or None."""
        cdef uint64_t msg_id = 0
        return msg_id if self.find(hash_of(hashed), oldest_ms, &msg_id) else None

    def add_id(self, tuple hashed not None, uint64_t msg_id) -> None:
        self.add(hash_of(hashed), msg_id)

    def pack(self, uint64_t created_ms) -> list:
        return self.pack_rows(created_ms)

    def load(self, bytes key not None, bytes value not None) -> None:
        self.load_row(read_u64((<const MessageKeyLayout*>PyBytes_AS_STRING(key)).msg_id), value)

    def drop(self, uint64_t oldest_ms, Py_ssize_t most) -> list:
        return self.drop_rows(oldest_ms, most)
