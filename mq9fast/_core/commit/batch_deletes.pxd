"""Messages that a batch deletes, by the rows that hold them: what is left of a row, or its end."""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.deleted_row cimport ErasedRow, RowIndex
from mq9fast._core.storage.record_batch cimport Run, Spot


cdef class Erased:
    cdef dict rows                # ErasedRow by the key of its mark, or its message
    cdef ErasedRow last           # the one asked for before
    cdef ErasedRow found          # the run in which `find` found a message before
    cdef RowIndex index           # of the runs that were looked up, by this batch and those before
    cdef uint64_t looks           # into the store

    cdef ErasedRow row(self, uint64_t uid, int rank, const Spot* spot, object store)
    cdef Run look(self, uint64_t uid, int rank, uint64_t msg_id, object store)
    cdef ErasedRow read_row(self, bytes key, uint64_t uid, int rank, const Spot* spot, object store)
    cdef int gather(self, ErasedRow row) except -1
    cdef ErasedRow know(self, uint64_t uid, int rank, uint64_t msg_id, Run run, object store)
    cdef bint find(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, Spot* spot, uint64_t* size
    ) except -1
    cdef int write(self, object put, object delete) except -1
    cdef int forget(self) except -1
