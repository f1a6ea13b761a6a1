"""POSIX threads, for work in C that never waits for the interpreter, which the event loop holds most of the
time. `storage/value_writer` and `storage/file_syncer` use it.
"""

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    ctypedef struct pthread_attr_t:
        pass
    ctypedef struct pthread_mutexattr_t:
        pass
    ctypedef struct pthread_condattr_t:
        pass
    int pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*) noexcept nogil, void*)
    int pthread_join(pthread_t, void**)
    int pthread_mutex_init(pthread_mutex_t*, const pthread_mutexattr_t*)
    int pthread_mutex_destroy(pthread_mutex_t*)
    int pthread_mutex_lock(pthread_mutex_t*)
    int pthread_mutex_unlock(pthread_mutex_t*)
    int pthread_cond_init(pthread_cond_t*, const pthread_condattr_t*)
    int pthread_cond_destroy(pthread_cond_t*)
    int pthread_cond_wait(pthread_cond_t*, pthread_mutex_t*)
    int pthread_cond_signal(pthread_cond_t*)
    int pthread_cond_broadcast(pthread_cond_t*)

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int SIG_SETMASK
    int sigfillset(sigset_t*)
    int pthread_sigmask(int, const sigset_t*, sigset_t*)

cdef extern from "<unistd.h>" nogil:
    Py_ssize_t write_bytes "write"(int, const void*, size_t)


cdef inline int create_thread(pthread_t* thread, void* (*run)(void*) noexcept nogil, void* owner) noexcept:
    """Start a thread that calls `run(owner)`. Returns 0 or the error number."""
    cdef sigset_t all_signals, before
    cdef int failure
    # The thread inherits that it handles no signals: they are for the event loop.
    sigfillset(&all_signals)
    pthread_sigmask(SIG_SETMASK, &all_signals, &before)
    failure = pthread_create(thread, NULL, run, owner)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    return failure
