"""Mailboxes in memory: what a broker knows of each without asking the store. Messages are only in the store.

Ids of a mailbox, in the order in which they pass: given <= next_id; in the store < written_id; durable <
durable_id, and only durable ones are ever delivered or listed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.heap cimport Heap, HeapItem
from mq9fast._core.base.view cimport View
from mq9fast._core.storage.record cimport MESSAGE_FIXED_BYTES, MailboxRecord


cdef enum:
    IN_BATCH_BYTES = MESSAGE_FIXED_BYTES + 12   # of a message in a run, beside header and payload
    MAX_DEAD_RATIO = 1                          # times what is not deleted
    MIN_DEAD_BYTES = 256                        # what a record's count of them is not exact for


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
    cdef readonly uint64_t dead_bytes     # about what deleted messages still take of runs
    cdef bint sparse                      # on the directory's list of those that have too much of that
    cdef bint maybe_sparse                # or may have, as it was not counted

    # Its lifetime. `expiry` may be early, never late: the deadline is looked at again when it comes up.
    cdef readonly uint64_t renewed_ms
    cdef readonly uint64_t ttl_seconds    # 0 = never expires
    cdef HeapItem expiry

    # Who reads it: Source objects as keys, and the groups among them by queue name. None while nobody does.
    cdef dict consumers
    cdef dict groups

    # Of the batch being gathered: whether the record changes, and per rank one more than its run's index.
    cdef uint8_t touched
    cdef uint16_t jumps                   # those of `MailboxIndex.jumps` that its ids have made
    # A write failed, and the store could not be asked yet what it holds: the counts may be wrong.
    cdef public bint unsure
    cdef uint32_t open_batch[3]

    cdef inline uint64_t deadline_ms(self) noexcept:
        return self.renewed_ms + self.ttl_seconds * 1000

    cdef inline bint past_deadline(self, uint64_t now_ms) noexcept:
        return self.ttl_seconds != 0 and self.deadline_ms() <= now_ms

    cdef inline bint is_sparse(self) noexcept:
        """Whether deleted messages take so much of its runs that thinning those is worth it."""
        cdef uint64_t live_bytes = self.size_bytes + self.total() * IN_BATCH_BYTES
        return self.dead_bytes > MAX_DEAD_RATIO * live_bytes + MIN_DEAD_BYTES

    cdef inline uint64_t total(self) noexcept:
        return self.count[0] + self.count[1] + self.count[2]

    cdef void begin(self, uint64_t uid, bint public, uint16_t jumps) noexcept
    cdef void load(self, const MailboxRecord* record, uint16_t jumps) noexcept
    cdef bytes pack(self)


cdef class MailboxIndex:
    cdef BytesMap table
    cdef Mailbox last                     # the one that was looked up before, while it lives
    cdef Heap deadlines
    cdef public uint64_t now_ms           # of this turn, broker time in milliseconds
    cdef public uint64_t judged_ms        # deadlines up to here have passed; never ahead of now_ms
    cdef readonly uint64_t newest_ms      # when the last write was, of all that `load` took over; 0 = none
    cdef readonly uint64_t next_uid
    cdef readonly uint16_t jumps          # how often ids were moved on, because those given may be forgotten
    cdef readonly uint64_t live_count
    cdef readonly uint64_t message_count
    cdef readonly uint64_t size_bytes     # of all stored messages
    cdef readonly uint64_t dead_bytes     # of deleted messages that are still in runs with others
    cdef object sparse                    # mailboxes that may have runs to thin, a deque

    cdef inline bint sees(self, Mailbox mailbox) noexcept:
        """Whether the mailbox lives and is not past its deadline. Clients are served from no other."""
        return mailbox.live and not mailbox.past_deadline(self.judged_ms)

    cdef inline uint64_t stored_bytes(self) noexcept:
        """What counts towards a limit of the store: its messages, and what is deleted and still stored past
        what thinning leaves."""
        cdef uint64_t tolerated = MAX_DEAD_RATIO * self.size_bytes
        return self.size_bytes + (self.dead_bytes - tolerated if self.dead_bytes > tolerated else 0)

    cdef uint64_t take_over(self, View address, bytes record) except? 0
    cdef Mailbox look_up(self, View address)
    cdef Mailbox look_up_or_make(self, View address)
    cdef int forget_if_unused(self, Mailbox mailbox) except -1
    cdef int schedule(self, Mailbox mailbox) except -1
    cdef void added(self, Mailbox mailbox, int rank, uint64_t size) noexcept
    cdef void removed(self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t size) noexcept
    cdef int note_maybe_sparse(self, Mailbox mailbox) except -1

    cdef inline int note_sparse(self, Mailbox mailbox) except -1:
        """Have the mailbox's runs thinned in the background if that is worth it."""
        return 0 if mailbox.sparse or not mailbox.is_sparse() else self.note_maybe_sparse(mailbox)

    cdef inline void dead_changed(self, Mailbox mailbox, uint64_t before) noexcept:
        """Count what deleted messages take of the mailbox's runs, which was `before`."""
        self.dead_bytes += mailbox.dead_bytes - before

    cdef void uncount(self, Mailbox mailbox) noexcept
    cdef void recount(self, Mailbox mailbox) noexcept
