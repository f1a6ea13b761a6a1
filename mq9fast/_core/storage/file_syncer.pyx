"""Threads that fsync files; the contract is in file_syncer.pxd."""

from libc.errno cimport EINTR, errno
from posix.stat cimport S_ISREG, fstat, struct_stat

import os

from mq9fast._core.base.check cimport check
from mq9fast._core.base.page_cache cimport write_out
from mq9fast._core.base.threads cimport (
    create_thread, pthread_cond_broadcast, pthread_cond_destroy, pthread_cond_init, pthread_cond_signal,
    pthread_cond_wait, pthread_join, pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock,
    pthread_mutex_unlock, write_bytes
)

cdef extern from "<unistd.h>" nogil:
    int fsync(int descriptor)


MAX_FILES = MAX_SYNC_FILES


cdef void* run(void* syncer) noexcept nogil:
    # DANGER: a borrowed reference. The syncer stops its threads before it goes.
    (<FileSyncer>syncer).work()
    return NULL


cdef int sync_file(int descriptor) noexcept nogil:
    """Returns 0 or the error number."""
    cdef struct_stat status
    cdef int failure = 0
    # A directory has no bytes that could be written early.
    if not fstat(descriptor, &status) and S_ISREG(status.st_mode):
        failure = write_out(descriptor, 0, status.st_size)
    if failure:
        return failure
    while fsync(descriptor):
        if errno != EINTR:
            return errno
    return 0


cdef class FileSyncer:
    """Syncs up to MAX_FILES files or directories at a time. Its methods are called in one other thread.

    `descriptor`: the end of a pipe that does not block; a byte is written to it when all of them are synced.
    """

    def __cinit__(self, int descriptor):
        self.descriptor = descriptor
        pthread_mutex_init(&self.mutex, NULL)
        pthread_cond_init(&self.changed, NULL)

    def __dealloc__(self):
        self.stop()
        pthread_mutex_destroy(&self.mutex)
        pthread_cond_destroy(&self.changed)

    def start_threads(self) -> None:
        """Start the threads, unless they run. OSError if the system gives none."""
        cdef int failure
        while self.running < SYNC_THREADS:
            failure = create_thread(&self.threads[self.running], run, <void*>self)
            if failure:
                raise OSError(failure, os.strerror(failure))
            self.running += 1

    def start(self, files not None) -> None:
        """Sync these files, at least one, given by descriptors, which stay open until `wait` returns."""
        cdef int i
        cdef int count = <int>len(files)
        check(self.running > 0 and self.unfinished == 0, b"files are synced by threads, one lot at a time")
        if not 0 < count <= MAX_SYNC_FILES:
            raise ValueError(f"{count} files instead of up to {MAX_SYNC_FILES}")
        for i in range(count):
            self.files[i] = files[i]
        pthread_mutex_lock(&self.mutex)
        self.count = self.unfinished = count
        self.next = self.failure = 0
        if self.count == 1:
            pthread_cond_signal(&self.changed)
        else:
            pthread_cond_broadcast(&self.changed)
        pthread_mutex_unlock(&self.mutex)

    def wait(self) -> tuple:
        """Wait until all files are synced. Returns the error number of the first fsync that failed, or 0, and
        the index of its file."""
        with nogil:
            pthread_mutex_lock(&self.mutex)
            while self.unfinished:
                pthread_cond_wait(&self.changed, &self.mutex)
            pthread_mutex_unlock(&self.mutex)
        return self.failure, self.failed_file

    def stop(self) -> None:
        """End the threads, after the files that they sync."""
        cdef int i
        with nogil:
            pthread_mutex_lock(&self.mutex)
            self.stopping = True
            pthread_cond_broadcast(&self.changed)
            pthread_mutex_unlock(&self.mutex)
            for i in range(self.running):
                pthread_join(self.threads[i], NULL)
        self.running = 0
        self.stopping = False

    cdef void work(self) noexcept nogil:
        cdef int index, failure
        pthread_mutex_lock(&self.mutex)
        while True:
            while self.next >= self.count and not self.stopping:
                pthread_cond_wait(&self.changed, &self.mutex)
            if self.next >= self.count:
                break
            index = self.next
            self.next += 1
            pthread_mutex_unlock(&self.mutex)
            failure = sync_file(self.files[index])
            pthread_mutex_lock(&self.mutex)
            if failure and not self.failure:
                self.failure, self.failed_file = failure, index
            self.unfinished -= 1
            if self.unfinished == 0:
                pthread_cond_broadcast(&self.changed)
                # A full pipe has bytes that were not read yet, which are as good as this one.
                write_bytes(self.descriptor, b"\0", 1)
        pthread_mutex_unlock(&self.mutex)
