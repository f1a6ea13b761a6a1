"""A thread that writes large values; the contract is in value_writer.pxd."""

import os

from mq9fast._core.base.check cimport check
from mq9fast._core.base.threads cimport (
    create_thread, pthread_cond_broadcast, pthread_cond_destroy, pthread_cond_init, pthread_cond_wait,
    pthread_join, pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock,
    write_bytes
)
from mq9fast._core.storage.value_batch cimport ValueBatch, run_write


cdef void* run(void* writer) noexcept nogil:
    # DANGER: a borrowed reference. The writer stops the thread before it goes.
    (<ValueWriter>writer).work()
    return NULL


cdef class ValueWriter:
    """Writes batches in a thread, one at a time. Its methods are called in one other thread.

    `descriptor`: the end of a pipe that does not block; a byte is written to it after each batch.
    """

    def __cinit__(self, int descriptor):
        self.descriptor = descriptor
        pthread_mutex_init(&self.mutex, NULL)
        pthread_cond_init(&self.changed, NULL)

    def __dealloc__(self):
        self.stop()
        pthread_mutex_destroy(&self.mutex)
        pthread_cond_destroy(&self.changed)

    def start_thread(self) -> None:
        """Start the thread, unless it runs. OSError if the system gives none."""
        cdef int failure
        if self.running:
            return
        failure = create_thread(&self.thread, run, <void*>self)
        if failure:
            raise OSError(failure, os.strerror(failure))
        self.running = True

    def start(self, ValueBatch batch not None) -> None:
        """Write the large values of `batch`, which has begun to be appended. The thread runs."""
        check(self.running and self.batch is None, b"the thread writes one batch at a time")
        self.batch = batch
        pthread_mutex_lock(&self.mutex)
        self.write = &batch.write
        pthread_cond_broadcast(&self.changed)
        pthread_mutex_unlock(&self.mutex)

    def wait(self) -> None:
        """Wait until the batch is written."""
        if self.batch is None:
            return
        with nogil:
            pthread_mutex_lock(&self.mutex)
            while self.write is not NULL:
                pthread_cond_wait(&self.changed, &self.mutex)
            pthread_mutex_unlock(&self.mutex)
        self.batch = None

    def stop(self) -> None:
        """End the thread, after the batch that it writes."""
        if not self.running:
            return
        with nogil:
            pthread_mutex_lock(&self.mutex)
            self.stopping = True
            pthread_cond_broadcast(&self.changed)
            pthread_mutex_unlock(&self.mutex)
            pthread_join(self.thread, NULL)
        self.running = self.stopping = False
        self.batch = None

    cdef void work(self) noexcept nogil:
        cdef ValueWrite* write
        pthread_mutex_lock(&self.mutex)
        while True:
            while self.write is NULL and not self.stopping:
                pthread_cond_wait(&self.changed, &self.mutex)
            if self.write is NULL:
                break
            write = self.write
            pthread_mutex_unlock(&self.mutex)
            run_write(write)
            pthread_mutex_lock(&self.mutex)
            self.write = NULL
            pthread_cond_broadcast(&self.changed)
            # A full pipe has bytes that were not read yet, which are as good as this one.
            write_bytes(self.descriptor, b"\0", 1)
        pthread_mutex_unlock(&self.mutex)
