"""Which messages of a row are deleted, and an index of the rows that deletions have looked up.

`BatchDeletes` uses both. With the index, deletions by id in any order read each row from the store once.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.storage.record_batch cimport RecordBatch, RecordLocation


cdef enum:
    MAX_ROW_INDEX_BYTES = 8388608   # enough for about a million messages in full record batches


cdef class RowDeletions:
    """The deleted messages of one row, including those that the current write batch deletes."""
    cdef uint64_t uid
    cdef int rank
    cdef uint64_t row_id          # the id in the row's key
    cdef int count                # messages that the row was written with
    cdef uint64_t deleted         # bitmap by index
    cdef uint32_t dead_bytes      # bytes that deleted messages still take of the row
    cdef bint has_bitmap          # the store has a deletion bitmap for the row
    cdef bint in_batch            # the row is in BatchDeletes.rows of the current write batch
    cdef bint changed             # the current write batch deletes messages of the row

    # Set by `load_messages`.
    cdef bint loaded
    cdef uint16_t* distances      # by index: row_id minus the message's id
    cdef uint32_t* sizes          # by index: bytes of header and payload; 0 for deleted messages
    cdef uint8_t* flags           # by index: the MessageFlags; 0 for deleted messages
    cdef uint64_t exclusive_from  # ids from this one to row_id are in no other row of the rank

    cdef int load_messages(self, RecordBatch batch) except -1
    cdef int find(self, uint64_t msg_id) noexcept
    cdef int first_from(self, uint64_t msg_id) noexcept
    cdef int next_live(self, uint64_t msg_id) noexcept

    cdef inline bint add(self, int index) noexcept:
        """Mark a message as deleted; false if it is deleted already."""
        check(0 <= index < self.count, b"a deleted message is in its row")
        if (self.deleted >> index) & 1:
            return False
        self.deleted |= <uint64_t>1 << index
        self.changed = True
        return True

    cdef inline RecordLocation location(self, int index) noexcept:
        cdef RecordLocation location
        check(0 <= index < self.count, b"a location is in its row")
        location.row_id = self.row_id
        location.index = <unsigned char>index
        location.count = <unsigned char>self.count
        return location


cdef class RowIndex:
    """A sorted array of rows, in the order of their keys, limited by memory.

    It agrees with the store and the current write batch. After a failed write, or when other code has changed
    rows, `clear` must be called.
    """
    cdef PyObject** rows          # RowDeletions; owned references
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef Py_ssize_t used_bytes
    cdef Py_ssize_t max_bytes
    cdef uint64_t random_state    # of the generator that picks rows to evict

    cdef Py_ssize_t find_position(self, uint64_t uid, int rank, uint64_t msg_id) noexcept
    cdef RowDeletions at_or_after(self, uint64_t uid, int rank, uint64_t msg_id)
    cdef RowDeletions get(self, uint64_t uid, int rank, uint64_t row_id)
    cdef int insert(self, RowDeletions row) except -1
    cdef int discard(self, RowDeletions row) except -1
    cdef int remove_at(self, Py_ssize_t position) except -1
    cdef int clear(self) except -1
