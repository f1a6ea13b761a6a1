"""When the messages of one mailbox expire, in memory: the rule, and how far `Expirer` has come with max_age.

A mailbox in which no message can expire has no such object. max_age needs no rows in the store: messages of a
rank are stored in the order in which they expire, so the first of each rank tells what is due next.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.storage.expiry_rule cimport ExpiryClock, ExpiryRule


cdef class Lives(ExpiryRule):
    # In MailboxIndex.fronts: when a first message may be past max_age, or earlier. Its owner is the Mailbox.
    cdef HeapItem front
    # By rank: messages with smaller ids are gone, or max_age does not concern them.
    cdef uint64_t passed[3]

    cdef void set_max_age(self, uint64_t max_age_ms) noexcept


cdef Lives new_lives(ExpiryClock clock, uint64_t max_age_ms)
