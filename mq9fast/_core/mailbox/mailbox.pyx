"""A mailbox in memory; the contract, and who uses it, is in mailbox.pxd."""

cimport cython
from libc.stdint cimport uint16_t, uint64_t

from mq9fast._core.base.view cimport empty_view, view_of
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport MailboxRecord, pack_mailbox
from mq9fast._core.storage.row_format cimport EPOCH_BITS

cdef enum:
    UNKNOWN_ROWS = 1 << 30


@cython.no_gc
cdef class Mailbox:
    """One mailbox, or an address without a mailbox to which clients subscribe.

    The garbage collector does not track mailboxes, because a million of them would slow it down. So reference
    cycles are not found: `Delivery` detaches each consumer that it has attached.
    """

    def __cinit__(self, bytes address not None):
        self.address = address
        self.expiry.slot = -1
        self.expiry.owner = <void*>self

    @property
    def total_count(self) -> int:
        """Messages that are not deleted."""
        return self.total()

    @property
    def delayed_count(self) -> int:
        """Messages that wait for their time. They are part of total_count."""
        return self.delayed()

    @property
    def max_other_rows(self) -> int:
        """How many rows of Nats-Msg-Ids, keys and failed deliveries the store has, or more."""
        cdef uint64_t rows = 0 if self.keys is None else self.keys.rows + len(self.keys.replaced)
        cdef bint loaded
        if self.has_id_rows:
            loaded = self.ids is not None and self.ids.loaded
            rows += <uint64_t>self.ids.row_count() if loaded else UNKNOWN_ROWS
        if self.has_failure_rows:
            loaded = self.failed is not None and self.failed.loaded
            rows += self.failed.size if loaded else UNKNOWN_ROWS
        return rows

    @property
    def consumer_count(self) -> int:
        """Plain subscriptions and queue groups of it."""
        return len(self.consumers) if self.consumers else 0

    @property
    def queue_groups(self) -> list:
        """The queue groups of it."""
        return list(self.groups.values()) if self.groups else []

    def count_of(self, int rank) -> int:
        """Messages of one rank, 0 (critical) to 2 (normal); IndexError for another."""
        if not 0 <= rank < RANKS:
            raise IndexError(rank)
        return self.count[rank]

    cdef void initialize(self, uint64_t uid, bint public, uint16_t id_epoch) noexcept:
        """Make it an existing mailbox without messages."""
        cdef int rank
        self.uid = uid
        self.exists = True
        self.needs_reload = False
        self.public = public
        self.id_epoch = id_epoch
        self.next_id = self.written_id = self.durable_id = <uint64_t>id_epoch << EPOCH_BITS
        for rank in range(RANKS):
            self.head[rank] = self.count[rank] = 0
            self.open_batch[rank] = 0
        self.size_bytes = self.dead_bytes = self.ttl_seconds = 0
        self.has_id_rows = self.has_failure_rows = self.has_receipts = False
        self.failed = None
        self.passed_over = False
        self.keys = None
        self.description = None
        self.options = None

    cdef void load(self, const MailboxRecord* record, uint16_t id_epoch) noexcept:
        """Make it the mailbox of a stored record."""
        cdef int rank
        self.initialize(record.uid, record.public, id_epoch)
        self.next_id = record.next_id
        if record.id_epoch < id_epoch:
            self.next_id += <uint64_t>(id_epoch - record.id_epoch) << EPOCH_BITS
        self.written_id = self.durable_id = self.next_id
        self.created_ms = record.created_ms
        self.renewed_ms = record.renewed_ms
        self.ttl_seconds = record.ttl_seconds
        for rank in range(RANKS):
            self.head[rank] = record.head[rank]
            self.count[rank] = record.count[rank]
        self.size_bytes = record.size_bytes
        self.dead_bytes = record.dead_bytes
        self.has_id_rows = record.has_id_rows
        self.has_failure_rows = record.has_failure_rows
        self.has_receipts = record.has_receipts

    cdef bytes pack(self):
        """The mailbox record to store."""
        cdef MailboxRecord record
        cdef int rank
        record.public = self.public
        record.has_id_rows = self.has_id_rows
        record.has_failure_rows = self.has_failure_rows
        record.delayed = self.delayed()
        record.has_own_lives = self.times is not None and self.times.own_lives
        record.has_names = self.times is not None and self.times.has_names
        record.has_receipts = self.has_receipts
        record.has_replaced = self.keys is not None and (self.keys.uncertain or len(self.keys.replaced) > 0)
        record.key_rows = 0 if self.keys is None else self.keys.rows
        record.uid = self.uid
        record.next_id = self.next_id
        record.renewed_ms = self.renewed_ms
        record.ttl_seconds = self.ttl_seconds
        for rank in range(RANKS):
            record.head[rank] = self.head[rank]
            record.count[rank] = self.count[rank]
        record.size_bytes = self.size_bytes
        record.dead_bytes = self.dead_bytes
        record.id_epoch = self.id_epoch
        record.description = empty_view() if self.description is None else view_of(self.description)
        record.created_ms = self.created_ms
        record.options = empty_view() if self.options is None else view_of(self.options.packed)
        return pack_mailbox(&record)
