"""The ids that clients gave to messages of one mailbox (Nats-Msg-Id), for as long as they are remembered.

`Deduplicator` asks for each id whether it is known, and adds it if not. `CommitGroup` writes what was added
to the store, in rows. The ids of a row are forgotten together. An id takes 32 to 48 bytes of memory.
"""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.base.sip_hash cimport Hash128


cdef enum:
    BLOCK_IDS = 16
    BLOCK_BITS = 4


cdef struct RememberedId:
    Hash128 hash          # of the client's id
    uint64_t msg_id


cdef struct IdRow:
    # A row of the store.
    uint64_t last_id      # the msg_id of its last id
    uint64_t created_ms   # when its last id was added, or a little later
    uint64_t end          # the number behind that of its last id


cdef struct SlotTable:
    # A hash table: the low bits of the number of an id + 1, or FREE_SLOT or MOVED_SLOT.
    uint32_t* slots
    uint64_t size         # a power of two


cdef class RememberedIds:
    cdef uint64_t uid                # of the mailbox
    # Ids have numbers, in the order in which they were added.
    cdef uint64_t first              # the number of the oldest id
    cdef uint64_t end                # the number behind that of the newest id
    cdef RememberedId** blocks       # a ring: the id with number n is in block n / BLOCK_IDS % block_capacity
    cdef uint64_t block_capacity     # a power of two
    # While the table grows or shrinks, each change moves some slots, because moving a million of them at
    # once would hold up all clients.
    cdef SlotTable table
    cdef SlotTable old_table
    cdef uint64_t next_move          # of the slots of old_table

    # Rows in the store, the oldest first.
    cdef IdRow* rows
    cdef Py_ssize_t first_row
    cdef Py_ssize_t end_row
    cdef Py_ssize_t row_capacity

    cdef bint loaded                 # all stored rows are here
    cdef uint64_t next_row           # where loading goes on: the rows with a smaller last_id are here
    cdef HeapItem expiry             # in MailboxIndex.id_deadlines; its owner is the Mailbox

    cdef bint find(self, Hash128 hashed, uint64_t oldest_ms, uint64_t* msg_id) noexcept
    cdef int add(self, Hash128 hashed, uint64_t msg_id) except -1
    cdef list pack_rows(self, uint64_t created_ms)
    cdef Py_ssize_t load_row(self, uint64_t last_id, bytes value) except -1
    cdef list drop_rows(self, uint64_t oldest_ms, Py_ssize_t most)

    cdef uint64_t number_in(self, uint32_t slot) noexcept
    cdef uint64_t find_slot(self, const SlotTable* table, Hash128 hashed) noexcept
    cdef void free_slot(self, uint64_t hole) noexcept
    cdef void drop_first(self) noexcept
    cdef int add_block(self) except -1
    cdef int begin_resize(self, uint64_t size) except -1
    cdef void move_slots(self, uint64_t count) noexcept
    cdef int add_row(self, uint64_t last_id, uint64_t created_ms, uint64_t end) except -1
    cdef const IdRow* row_of(self, uint64_t number) noexcept

    cdef inline RememberedId* entry(self, uint64_t number) noexcept:
        check(self.first <= number <= self.end, b"an id that is read is remembered")
        return &self.blocks[(number >> BLOCK_BITS) & (self.block_capacity - 1)][number & (BLOCK_IDS - 1)]

    cdef inline Py_ssize_t count(self) noexcept:
        return <Py_ssize_t>(self.end - self.first)

    cdef inline Py_ssize_t row_count(self) noexcept:
        return self.end_row - self.first_row

    cdef inline uint64_t written_end(self) noexcept:
        """The number behind that of the last id that is in a row."""
        return self.rows[self.end_row - 1].end if self.end_row > self.first_row else self.first
