"""The limits of one broker that a reload may change. Every part of the broker reads the same object."""

from libc.stdint cimport uint64_t


cdef enum:
    # A client that sends is stalled while a commit group holds more than this and is not durable.
    MAX_GATHERED_BYTES = 8388608
    # The same while a thread writes the group before it: the thread writes that in a millisecond or two.
    MAX_GATHERED_WHILE_WRITING = 1048576
    # The same while turns are short.
    MAX_GATHERED_IN_HURRY = 262144
    # Output of a receiver at which its senders are stalled. They go on as soon as its transport takes that.
    # The kernel has megabytes more for it; a larger output would only leave the processor's cache.
    MAX_RECEIVER_BYTES = 1048576


cdef class Limits:
    # Counts, and sizes in bytes; 0 = no limit, except where noted.
    cdef public uint64_t max_mailboxes
    cdef public uint64_t max_mailbox_messages
    cdef public uint64_t max_mailbox_bytes
    cdef public uint64_t max_store_bytes
    cdef public Py_ssize_t max_subscriptions    # per connection
    cdef public Py_ssize_t max_subscription_tokens    # of the subject of a subscription
    cdef public Py_ssize_t max_connections      # 0 = none may connect
    cdef public Py_ssize_t max_pending          # unwritten output of one connection; 0 = none
    cdef public Py_ssize_t min_free             # of the disk of the data directory
    cdef public uint64_t busy_poll              # microseconds; 0 = no busy polling
    cdef public bint auto_create

    cdef inline Py_ssize_t max_receiver_bytes(self) noexcept:
        """A client that sends to a receiver with more unwritten output than this is stalled."""
        return min(MAX_RECEIVER_BYTES, self.max_pending // 2)
