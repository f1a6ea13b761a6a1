"""Threads that fsync files at the same time while the event loop goes on.

`storage/parallel_sync.py` creates one, and gives it the files of one commit group at a time. The threads
never wait for the interpreter. The file system makes the changes of files that are fsynced at the same time
durable with one write of its journal, so two fsyncs take little longer than one.
"""

from mq9fast._core.base.threads cimport pthread_cond_t, pthread_mutex_t, pthread_t

cdef enum:
    SYNC_THREADS = 2
    MAX_SYNC_FILES = 16


cdef class FileSyncer:
    cdef pthread_t[SYNC_THREADS] threads
    cdef pthread_mutex_t mutex    # of the fields up to `stopping`
    cdef pthread_cond_t changed
    cdef int[MAX_SYNC_FILES] files
    cdef int count
    cdef int next                 # index of the file that a thread takes next
    cdef int unfinished           # fsyncs that have not ended
    cdef int failure              # the error number of the first fsync that failed, or 0
    cdef int failed_file
    cdef bint stopping

    cdef int running              # threads that were started and not stopped
    cdef int descriptor           # of a pipe: a byte is written when all files are synced

    cdef void work(self) noexcept nogil
