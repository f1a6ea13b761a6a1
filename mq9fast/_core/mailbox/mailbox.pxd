"""A mailbox in memory: its counters, lifetime and consumers.

Messages are in the store only. `MailboxIndex` has all mailboxes and changes their counters, and `Delivery`
attaches consumers. Nothing here reads or writes the store.

The ids of messages pass three limits: assigned ids are below next_id, ids in the store below written_id, and
durable ids below durable_id. Only durable messages are delivered or listed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.mailbox.failed_deliveries cimport FailedDeliveries
from mq9fast._core.mailbox.mailbox_keys cimport ROWS_OF_A_MESSAGE, SPARE_ROWS, MailboxKeys
from mq9fast._core.mailbox.options cimport DEFAULT_DUPLICATE_WINDOW_MS, MailboxOptions
from mq9fast._core.mailbox.remembered_ids cimport RememberedIds
from mq9fast._core.mailbox.times cimport Times
from mq9fast._core.storage.record cimport MailboxRecord
from mq9fast._core.storage.row_format cimport (
    DEAD_BYTES_UNIT, HAS_RECEIPT_TO, IS_RECEIPT, MESSAGE_OVERHEAD_BYTES
)


cdef enum:
    MAX_DEAD_RATIO = 1  # a mailbox is sparse if dead bytes are more than this times the live bytes,
    MIN_DEAD_BYTES = DEAD_BYTES_UNIT  # and more than this, because a record counts them in this unit


cdef extern from *:
    """
    /* One byte: there may be a million mailboxes. It is a bool for Python. */
    typedef unsigned char mq9fast_flag;
    """
    ctypedef bint flag "mq9fast_flag"


cdef class Mailbox:
    # Identity. An object with `exists` false is an address with subscriptions but without a mailbox.
    cdef readonly bytes address
    cdef readonly uint64_t uid            # never reused: a later mailbox at the same address has another
    cdef readonly bytes description
    cdef readonly MailboxOptions options  # None = all at their defaults

    # Small fields of several groups, together without gaps.
    cdef readonly flag exists
    cdef readonly flag public
    # A write failed, and the mailbox could not be reloaded from the store yet: the counts may be wrong.
    cdef public flag needs_reload
    cdef flag in_thinning_queue           # the mailbox is in MailboxIndex.thinning_queue
    cdef flag dead_bytes_unknown          # loaded from a format that does not count dead bytes
    cdef flag has_id_rows                 # the store may have rows of Nats-Msg-Ids of the mailbox
    cdef flag has_failure_rows            # the same of failed deliveries
    cdef readonly flag has_receipts       # there may be messages with Mq9-Receipt-To
    cdef flag has_suspects                # a group of the mailbox may have members that let messages time out
    cdef flag touched                     # the mailbox record changes in the write batch being gathered
    cdef flag passed_over                 # `Discarder` passed over messages that members have held ever since
    cdef uint16_t id_epoch                # next_id is valid for this id epoch; see MailboxIndex.id_epoch
    # By rank: index of the open record batch in BatchPuts + 1; 0 = none.
    cdef uint32_t open_batch[3]

    # Messages.
    cdef readonly uint64_t next_id
    cdef uint64_t written_id
    cdef readonly uint64_t durable_id
    cdef uint64_t head[3]                 # by rank: every stored message has this id or a larger one
    cdef uint64_t count[3]                # by rank: messages that are not deleted
    cdef readonly uint64_t size_bytes     # of the headers and payloads of these
    cdef readonly uint64_t dead_bytes     # about what deleted messages still take in record batches

    # Nats-Msg-Ids; None if there are none, or all are in the store only.
    cdef RememberedIds ids
    cdef readonly MailboxKeys keys                 # None if no message ever had a key

    # Failed deliveries; None if there are none, or all are in the store only.
    cdef FailedDeliveries failed

    # What messages wait for; None while they neither expire nor are delayed.
    cdef Times times

    # Lifetime. The heap may have an earlier deadline than the mailbox, never a later one: when the heap's
    # deadline passes, the mailbox's is checked again.
    cdef readonly uint64_t created_ms     # 0 = before format 4 of the store
    cdef readonly uint64_t renewed_ms
    cdef readonly uint64_t ttl_seconds    # 0 = never expires
    cdef HeapItem expiry

    # Consumers. Both dicts are None while there are none.
    cdef dict consumers                   # Consumer -> None
    cdef dict groups                      # queue name -> QueueGroup

    cdef inline uint64_t deadline_ms(self) noexcept:
        return self.renewed_ms + self.ttl_seconds * 1000

    cdef inline bint past_deadline(self, uint64_t now_ms) noexcept:
        return self.ttl_seconds != 0 and self.deadline_ms() <= now_ms

    cdef inline bint is_sparse(self) noexcept:
        """Whether deleted messages take so much space that its record batches should be thinned."""
        cdef uint64_t live_bytes
        if self.dead_bytes <= MIN_DEAD_BYTES:
            return False
        live_bytes = self.size_bytes + self.total() * MESSAGE_OVERHEAD_BYTES
        return self.dead_bytes > MAX_DEAD_RATIO * live_bytes + MIN_DEAD_BYTES

    cdef inline bint has_stale_keys(self) noexcept:
        """Whether many rows of keys have no message any more."""
        return self.keys is not None and self.keys.rows > ROWS_OF_A_MESSAGE * self.total() + SPARE_ROWS

    cdef inline uint64_t duplicate_window_ms(self) noexcept:
        return DEFAULT_DUPLICATE_WINDOW_MS if self.options is None else self.options.duplicate_window_ms

    cdef inline uint64_t placed(self) noexcept:
        """Messages that are not delayed."""
        return self.count[0] + self.count[1] + self.count[2]

    cdef inline uint64_t delayed(self) noexcept:
        return 0 if self.times is None else self.times.delayed

    cdef inline uint64_t total(self) noexcept:
        return self.placed() + self.delayed()

    cdef inline bint wants_receipts(self, uint8_t flags) noexcept:
        """Whether there are receipts of a message with these MessageFlags."""
        if flags & (HAS_RECEIPT_TO | IS_RECEIPT):
            return flags & IS_RECEIPT == 0
        return self.options is not None and len(self.options.receipts_to) > 0

    cdef inline void check_ids(self) noexcept:
        check(self.durable_id <= self.written_id <= self.next_id, b"ids are written before they are durable")

    cdef void initialize(self, uint64_t uid, bint public, uint16_t id_epoch) noexcept
    cdef void load(self, const MailboxRecord* record, uint16_t id_epoch) noexcept
    cdef bytes pack(self)
