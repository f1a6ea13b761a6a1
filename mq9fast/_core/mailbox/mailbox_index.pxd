"""All mailboxes of a broker by address, the deadlines of those that expire, and totals of all.

`MailboxWriter` and the classes that it calls count messages here, and `mailbox/lifecycle.py` creates, renews
and ends mailboxes. Nothing here reads or writes the store.
"""

from libc.stdint cimport uint16_t, uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.check cimport check
from mq9fast._core.base.heap cimport Heap
from mq9fast._core.base.ordered_bytes cimport OrderedBytes
from mq9fast._core.base.view cimport View
from mq9fast._core.mailbox.mailbox cimport MAX_DEAD_RATIO, Mailbox
from mq9fast._core.mailbox.options cimport MailboxOptions
from mq9fast._core.mailbox.times cimport Fronts
from mq9fast._core.storage.record cimport MailboxRecord


cdef class MailboxIndex:
    cdef BytesMap table
    cdef Mailbox last_found               # the last mailbox that `look_up` found; None if it has ended
    cdef OrderedBytes public_addresses    # of the public mailboxes that exist
    cdef Heap deadlines
    cdef public uint64_t now_ms           # broker time of this turn, milliseconds
    cdef uint64_t expiry_clock_ms  # deadlines up to this time have passed; never ahead of now_ms
    cdef Fronts fronts            # of mailboxes with max_age; its clock shows expiry_clock_ms too
    cdef readonly uint64_t newest_ms      # time of the newest write in what `load` has loaded; 0 = none
    cdef readonly uint64_t next_uid
    # A start raises the id epoch when ids may have been lost that clients know. Ids and uids of a new epoch
    # begin 1 << EPOCH_BITS higher, so that no lost one is assigned again.
    cdef readonly uint16_t id_epoch
    cdef readonly uint64_t live_count     # mailboxes
    cdef readonly uint64_t message_count
    cdef readonly uint64_t size_bytes     # of all messages
    cdef readonly uint64_t dead_bytes     # of all mailboxes
    cdef object thinning_queue            # deque of mailboxes whose record batches are to be thinned

    # Nats-Msg-Ids. Here too a deadline in the heap may be earlier than that of the mailbox's oldest id.
    cdef Heap id_deadlines                # of mailboxes that remember any
    cdef object ids_to_load               # deque of mailboxes that have ids in the store only
    cdef readonly uint64_t remembered_ids  # how many are in memory
    cdef list keys_to_check               # mailboxes whose keys are `uncertain`, or have no message

    cdef inline bint is_visible(self, Mailbox mailbox) noexcept:
        """Whether the mailbox exists and is not past its deadline. Clients have no access to others."""
        return mailbox.exists and not mailbox.past_deadline(self.expiry_clock_ms)

    cdef inline uint64_t stored_bytes(self) noexcept:
        """Bytes that count towards the size limit: all messages, and dead bytes beyond what thinning
        tolerates."""
        cdef uint64_t tolerated = MAX_DEAD_RATIO * self.size_bytes
        return self.size_bytes + (self.dead_bytes - tolerated if self.dead_bytes > tolerated else 0)

    cdef inline uint64_t oldest_id_ms(self, Mailbox mailbox) noexcept:
        """When the oldest id was added that the mailbox has to remember now."""
        return self.expiry_clock_ms - min(mailbox.duplicate_window_ms(), self.expiry_clock_ms)

    cdef inline void let_pass(self, uint64_t now_ms) noexcept:
        """Let all deadlines up to `now_ms` pass."""
        self.expiry_clock_ms = self.fronts.clock.now_ms = now_ms

    cdef inline int need_times(self, Mailbox mailbox) except -1:
        """Messages of the mailbox are going to expire, or to be delayed."""
        if mailbox.times is None:
            mailbox.times = self.fronts.new_times(<void*>mailbox, mailbox.uid)
        return 0

    cdef int load_record(self, Mailbox mailbox, const MailboxRecord* record, MailboxOptions options) except -1
    cdef int schedule_ids(self, Mailbox mailbox) except -1
    cdef void drop_ids(self, Mailbox mailbox) noexcept
    cdef uint64_t load_mailbox(self, View address, bytes record) except? 0
    cdef Mailbox look_up(self, View address)
    cdef Mailbox look_up_or_create(self, View address)
    cdef int remove_if_unused(self, Mailbox mailbox) except -1
    cdef int schedule(self, Mailbox mailbox) except -1
    cdef void message_added(self, Mailbox mailbox, int rank, uint64_t size) noexcept
    cdef void message_removed(self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t size) noexcept
    cdef int queue_for_thinning(self, Mailbox mailbox) except -1

    cdef inline int queue_if_sparse(self, Mailbox mailbox) except -1:
        """Queue the mailbox for thinning in the background if it is sparse."""
        if mailbox.in_thinning_queue or not mailbox.is_sparse():
            return 0
        return self.queue_for_thinning(mailbox)

    cdef inline int queue_if_stale_keys(self, Mailbox mailbox) except -1:
        """Have `Replacer` see to the mailbox if many rows of keys have no message, or if it is uncertain
        which messages are replaced."""
        if mailbox.keys is None or mailbox.keys.queued:
            return 0
        if mailbox.keys.uncertain or mailbox.has_stale_keys():
            mailbox.keys.queued = True
            self.keys_to_check.append(mailbox)
        return 0

    cdef inline void dead_bytes_changed(self, Mailbox mailbox, uint64_t before) noexcept:
        """Update the total after a change of the mailbox's dead bytes, which were `before`."""
        check(before <= self.dead_bytes, b"the dead bytes of a mailbox are part of the total")
        self.dead_bytes += mailbox.dead_bytes - before

    cdef void subtract_totals(self, Mailbox mailbox) noexcept
    cdef void add_totals(self, Mailbox mailbox) noexcept
