"""Mailboxes in memory: what a broker knows of each without asking the store. Messages are only in the store.

Ids of a mailbox, in the order in which they pass: given <= next_id; in the store < written_id; durable <
durable_id, and only durable ones are ever delivered or listed.
"""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.heap cimport Heap, HeapItem
from mq9fast._core.record cimport MailboxRecord
from mq9fast._core.table cimport Table
from mq9fast._core.views cimport View


cdef class Mailbox:
    # Who it is. A mailbox that is not live exists only for the subscriptions that wait for it.
    cdef readonly bytes address
    cdef readonly uint64_t uid            # of this life; never given again
    cdef readonly bint live
    cdef readonly bint public
    cdef readonly bytes description

    # Its messages.
    cdef readonly uint64_t next_id
    cdef uint64_t written_id
    cdef readonly uint64_t durable_id
    cdef uint64_t head[3]                 # per rank: no stored message has a smaller id
    cdef uint64_t count[3]                # per rank: messages not deleted
    cdef readonly uint64_t size_bytes     # of their headers and payloads

    # Its lifetime. `expiry` may be early, never late: the deadline is looked at again when it comes up.
    cdef readonly uint64_t renewed_ms
    cdef readonly uint64_t ttl_seconds    # 0 = never expires
    cdef HeapItem expiry

    # Who reads it: Source objects as keys, and the groups among them by queue name. None while nobody does.
    cdef dict sources
    cdef dict groups

    # Of the batch being gathered: whether the record changes, and per rank one more than its run's index.
    cdef bint touched
    # A write failed, and the store could not be asked yet what it holds: the counts may be wrong.
    cdef public bint unsure
    cdef uint32_t run[3]

    cdef inline uint64_t deadline_ms(self) noexcept:
        return self.renewed_ms + self.ttl_seconds * 1000

    cdef inline bint past_deadline(self, uint64_t now_ms) noexcept:
        return self.ttl_seconds != 0 and self.deadline_ms() <= now_ms

    cdef inline uint64_t total(self) noexcept:
        return self.count[0] + self.count[1] + self.count[2]

    cdef void begin(self, uint64_t uid, bint public) noexcept
    cdef void load(self, const MailboxRecord* record) noexcept
    cdef bytes pack(self)


cdef class Directory:
    cdef Table table
    cdef Mailbox last                     # the one that was looked up before, while it lives
    cdef Heap deadlines
    cdef public uint64_t now_ms           # of this turn, broker time in milliseconds
    cdef public uint64_t judged_ms        # deadlines up to here have passed; never ahead of now_ms
    cdef readonly uint64_t newest_ms      # when the last write was, of all that `load` took over; 0 = none
    cdef readonly uint64_t next_uid
    cdef readonly uint64_t live_count
    cdef readonly uint64_t message_count
    cdef readonly uint64_t size_bytes     # of all stored messages

    cdef inline bint sees(self, Mailbox mailbox) noexcept:
        """Whether the mailbox lives and is not past its deadline. Clients are served from no other."""
        return mailbox.live and not mailbox.past_deadline(self.judged_ms)

    cdef uint64_t take_over(self, View address, bytes record) except? 0
    cdef Mailbox look_up(self, View address)
    cdef Mailbox look_up_or_make(self, View address)
    cdef int forget_if_unused(self, Mailbox mailbox) except -1
    cdef int schedule(self, Mailbox mailbox) except -1
    cdef void added(self, Mailbox mailbox, int rank, uint64_t size) noexcept
    cdef void removed(self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t size) noexcept
    cdef void uncount(self, Mailbox mailbox) noexcept
    cdef void recount(self, Mailbox mailbox) noexcept
