"""What the messages of one mailbox wait for, in memory: when they expire, and how many are delayed.

A mailbox whose messages neither expire nor wait has no such object. max_age needs no rows in the store:
messages of a rank are stored in the order in which they expire, so the first of each rank tells what is due
next. `Agenda` has the rest. `Expirer` does what is due.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.heap cimport Heap, HeapItem
from mq9fast._core.mailbox.options cimport MailboxOptions
from mq9fast._core.storage.expiry_rule cimport ExpiryClock, ExpiryRule
from mq9fast._core.storage.record cimport MailboxRecord


cdef class Times(ExpiryRule):
    # In Fronts: when a first message may be past max_age, or earlier. Its owner is the Mailbox.
    cdef HeapItem front
    # By rank: messages with smaller ids are gone, or max_age does not concern them.
    cdef uint64_t passed[3]
    # Expired messages are still there: reading failed, or their mailbox for dead letters is full.
    cdef bint has_kept

    cdef bint own_lives           # there may be messages with a life of their own
    cdef bint has_names           # the store may have rows of names
    cdef uint64_t delayed         # messages that have no place yet
    cdef uint64_t first_delayed[3]  # by rank: no delayed message has a smaller msg_id

    cdef inline bint may_be_past_max_age(self) noexcept:
        """Whether there may be a message that is past max_age and not removed yet."""
        return self.max_age_ms != 0 and (self.has_kept or self.front.major <= self.clock.now_ms)


cdef class Fronts:
    """The mailboxes with max_age, by the time when a message of them may be due."""
    cdef ExpiryClock clock
    cdef Heap heap

    cdef Times new_times(self, void* mailbox, uint64_t uid)
    cdef int set_max_age(self, Times times, uint64_t max_age_ms) except -1
    cdef int schedule(self, Times times, uint64_t due_ms) except -1
    cdef Times load(self, void* mailbox, const MailboxRecord* record, MailboxOptions options)
    cdef Times update(self, Times times, void* mailbox, uint64_t uid, MailboxOptions options)
    cdef Times drop(self, Times times)
