"""Where changes to mailboxes go: the commit group that gathers now, and the one before it.

Commands, expiry, purges and thinning add to `group`; the commit pipeline seals it and begins the next one.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport MAX_GATHERED_BYTES
from mq9fast._core.commit.commit_group cimport CommitGroup


cdef enum:
    MAX_SPARE_BYTES = 1048576     # a released group that held more is not used again, but freed


cdef class Accumulator:
    cdef readonly CommitGroup group         # gathers now
    cdef readonly uint64_t group_number     # of `group`
    cdef readonly CommitGroup unreleased    # sealed, and not durable yet; None if there is none
    cdef CommitGroup spare                  # empty, for the next `seal`; or None

    # Why new messages are refused.
    cdef public bint store_failed           # the store takes no writes
    cdef public bint disk_full              # too little free space; commands that free some are still taken

    cdef inline bint is_full(self) noexcept:
        """Whether so much has gathered that clients which send more are stalled."""
        return self.group.bytes > MAX_GATHERED_BYTES
