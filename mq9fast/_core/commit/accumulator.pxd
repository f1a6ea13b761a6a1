"""Holds two commit groups: the one that gathers changes now, and the sealed one before it.

`MailboxWriter`, `mailbox/commands.py`, expiry, purges and the thinner add changes to `group`. The commit
pipeline seals it, which begins the next group, and releases it when it is durable or has failed.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport (
    MAX_GATHERED_BYTES, MAX_GATHERED_IN_HURRY, MAX_GATHERED_WHILE_WRITING
)
from mq9fast._core.commit.commit_group cimport CommitGroup


cdef enum:
    MAX_SPARE_BYTES = 1048576     # a released group that gathered more is freed; a smaller one is reused


cdef class Accumulator:
    cdef readonly CommitGroup group         # the one that gathers now
    cdef readonly uint64_t group_number     # counts groups; the number of `group`
    cdef readonly CommitGroup sealed        # the group that is sealed and not durable yet, or None
    cdef CommitGroup spare                  # an empty group for the next `seal`, or None

    # Why new messages are refused.
    cdef public bint store_failed           # the store accepts no writes
    cdef public bint disk_full              # too little free space; commands that free some are accepted

    # Too many large values are not synced: clients that send large messages are stalled.
    cdef public bint disk_behind

    cdef inline bint is_writing(self) noexcept:
        """Whether the store does not have all of the sealed group yet, because a thread writes its values."""
        return (
            self.sealed is not None
            and self.sealed.durable_marks.written < self.sealed.durable_marks.count
        )

    cdef inline bint is_full(self, bint hurried=False) noexcept:
        """Whether so much has gathered that clients which send more are stalled. `hurried`: turns are
        short."""
        if self.group.bytes <= (MAX_GATHERED_IN_HURRY if hurried else MAX_GATHERED_WHILE_WRITING):
            return False
        return self.group.bytes > MAX_GATHERED_BYTES or self.is_writing()
