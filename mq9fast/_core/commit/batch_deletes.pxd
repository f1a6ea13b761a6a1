"""Messages that a batch deletes, by the rows that hold them: what is left of a row, or its end."""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.deleted_row cimport DeletedRow, RowIndex
from mq9fast._core.storage.record_batch cimport RecordBatch, RecordLocation


cdef class BatchDeletes:
    cdef dict rows                # DeletedRow by the key of its mark, or its message
    cdef DeletedRow last          # the one asked for before
    cdef DeletedRow found         # the run in which `find` found a message before
    cdef RowIndex index           # of the runs that were looked up, by this batch and those before
    cdef uint64_t lookups         # into the store

    cdef DeletedRow row(self, uint64_t uid, int rank, const RecordLocation* location, object store)
    cdef RecordBatch look_up(self, uint64_t uid, int rank, uint64_t msg_id, object store)
    cdef DeletedRow read_row(
        self, bytes key, uint64_t uid, int rank, const RecordLocation* location, object store
    )
    cdef int gather(self, DeletedRow row) except -1
    cdef DeletedRow know(self, uint64_t uid, int rank, uint64_t msg_id, RecordBatch batch, object store)
    cdef bint find(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, RecordLocation* location, uint64_t* size
    ) except -1
    cdef int write(self, object put, object delete) except -1
    cdef int forget(self) except -1
