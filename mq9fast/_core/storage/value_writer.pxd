"""A thread that writes the large values of a batch while the event loop goes on.

`storage/value_log.py` creates one, and gives it one batch at a time. The thread never waits for the
interpreter, which the event loop holds most of the time.
"""

from mq9fast._core.base.threads cimport pthread_cond_t, pthread_mutex_t, pthread_t
from mq9fast._core.storage.value_batch cimport ValueBatch, ValueWrite


cdef class ValueWriter:
    cdef pthread_t thread
    cdef pthread_mutex_t mutex    # of the fields below
    cdef pthread_cond_t changed
    cdef ValueWrite* write        # DANGER: points into `batch`; NULL when the thread has nothing to do
    cdef bint stopping

    cdef bint running             # the thread was started and not stopped
    cdef int descriptor           # of a pipe: the thread writes one byte after each batch
    cdef ValueBatch batch         # that is being written

    cdef void work(self) noexcept nogil
