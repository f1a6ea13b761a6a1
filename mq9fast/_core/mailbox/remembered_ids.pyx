"""The remembered ids of one mailbox; the contract, and who uses it, is in remembered_ids.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memmove, memset

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from mq9fast._core.base.sip_hash cimport Hash128
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.row_format cimport (
    ID_ROW_ENTRY_BYTES, ID_ROW_FIXED_BYTES, ID_ROW_VERSION, IDS_RANK, MAX_ROW_IDS, IdRowEntryLayout,
    IdRowLayout, put_u32, put_u64, read_u32, read_u64
)

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    MIN_BLOCKS = 2
    MIN_SLOTS = 16
    # The table is resized once more than half of the slots are used, or less than a sixteenth.
    MAX_LOAD_DIVISOR = 2
    MIN_LOAD_DIVISOR = 16
    # Slots that each change moves from the old table. Then it is empty long before another resize.
    MOVES = 32
    # A slot has so many bits of a number.
    NUMBER_MASK = 0x7FFFFFFF
    FREE_SLOT = 0
    MOVED_SLOT = 0xFFFFFFFF     # of the old table: its id was moved or dropped


cdef class RememberedIds:

    def __cinit__(self, uint64_t uid):
        self.uid = uid
        self.expiry.slot = -1
        self.begin_resize(MIN_SLOTS)

    def __dealloc__(self):
        cdef uint64_t i
        for i in range(self.block_capacity):
            PyMem_Free(self.blocks[i])
        PyMem_Free(self.blocks)
        PyMem_Free(self.table.slots)
        PyMem_Free(self.old_table.slots)
        PyMem_Free(self.rows)

    cdef uint64_t number_in(self, uint32_t slot) noexcept:
        """The number of the id in a slot."""
        return self.first + ((slot - 1 - self.first) & NUMBER_MASK)

    cdef uint64_t find_slot(self, const SlotTable* table, Hash128 hashed) noexcept:
        """The slot of the hash, or the free slot where it would go."""
        cdef uint64_t i = hashed.low & (table.size - 1)
        cdef const RememberedId* entry
        while table.slots[i] != FREE_SLOT:
            if table.slots[i] != <uint32_t>MOVED_SLOT:
                entry = self.entry(self.number_in(table.slots[i]))
                if entry.hash.low == hashed.low and entry.hash.high == hashed.high:
                    break
            i = (i + 1) & (table.size - 1)
        return i

    cdef bint find(self, Hash128 hashed, uint64_t oldest_ms, uint64_t* msg_id) noexcept:
        """Find the message with this id, unless the id was added before `oldest_ms`."""
        cdef uint32_t slot = self.table.slots[self.find_slot(&self.table, hashed)]
        cdef uint64_t number
        if slot == FREE_SLOT and self.old_table.slots is not NULL:
            slot = self.old_table.slots[self.find_slot(&self.old_table, hashed)]
        if slot == FREE_SLOT:
            return False
        number = self.number_in(slot)
        check(number < self.end, b"an id that is found is remembered")
        if number < self.written_end() and self.row_of(number).created_ms < oldest_ms:
            return False
        msg_id[0] = self.entry(number).msg_id
        return True

    cdef const IdRow* row_of(self, uint64_t number) noexcept:
        """The row that holds a written id."""
        cdef Py_ssize_t low = self.first_row
        cdef Py_ssize_t high = self.end_row - 1
        cdef Py_ssize_t middle
        while low < high:
            middle = (low + high) // 2
            if self.rows[middle].end > number:
                high = middle
            else:
                low = middle + 1
        return &self.rows[low]

    cdef int add(self, Hash128 hashed, uint64_t msg_id) except -1:
        """Remember an id. If it is there, because it is due and not dropped yet, the new one counts."""
        cdef RememberedId* entry
        cdef uint64_t old
        if <uint64_t>self.count() * MAX_LOAD_DIVISOR >= self.table.size:
            self.begin_resize(self.table.size * 2)
        if self.end & (BLOCK_IDS - 1) == 0:
            self.add_block()
        self.move_slots(MOVES)
        if self.old_table.slots is not NULL:
            old = self.find_slot(&self.old_table, hashed)
            if self.old_table.slots[old] != FREE_SLOT:
                self.old_table.slots[old] = <uint32_t>MOVED_SLOT
        self.table.slots[self.find_slot(&self.table, hashed)] = <uint32_t>(self.end & NUMBER_MASK) + 1
        entry = self.entry(self.end)
        entry.hash = hashed
        entry.msg_id = msg_id
        self.end += 1
        return 0

    cdef int add_block(self) except -1:
        """Add space for the ids from number `end` on."""
        cdef uint64_t first_block = self.first >> BLOCK_BITS
        cdef uint64_t end_block = self.end >> BLOCK_BITS
        cdef uint64_t capacity, n
        cdef RememberedId** grown
        cdef RememberedId** place
        if end_block - first_block >= self.block_capacity:
            capacity = max(<uint64_t>MIN_BLOCKS, self.block_capacity * 2)
            grown = <RememberedId**>PyMem_Calloc(<size_t>capacity, sizeof(RememberedId*))
            if grown is NULL:
                raise MemoryError
            for n in range(first_block, end_block):
                grown[n & (capacity - 1)] = self.blocks[n & (self.block_capacity - 1)]
            PyMem_Free(self.blocks)
            self.blocks = grown
            self.block_capacity = capacity
        place = &self.blocks[end_block & (self.block_capacity - 1)]
        if place[0] is NULL:
            place[0] = <RememberedId*>PyMem_Malloc(BLOCK_IDS * sizeof(RememberedId))
        if place[0] is NULL:
            raise MemoryError
        return 0

    cdef void drop_first(self) noexcept:
        """Forget the oldest id."""
        cdef Hash128 hashed = self.entry(self.first).hash
        cdef uint32_t expected = <uint32_t>(self.first & NUMBER_MASK) + 1
        cdef RememberedId** place = &self.blocks[(self.first >> BLOCK_BITS) & (self.block_capacity - 1)]
        cdef uint64_t slot = self.find_slot(&self.table, hashed)
        # The same id may have been added again: then its slot has another number.
        if self.table.slots[slot] == expected:
            self.free_slot(slot)
        elif self.old_table.slots is not NULL:
            slot = self.find_slot(&self.old_table, hashed)
            if self.old_table.slots[slot] == expected:
                self.old_table.slots[slot] = <uint32_t>MOVED_SLOT
        self.first += 1
        if self.first & (BLOCK_IDS - 1) == 0:
            PyMem_Free(place[0])
            place[0] = NULL

    cdef void free_slot(self, uint64_t hole) noexcept:
        """Free a slot. Later slots of its chain move back, so that no look-up stops early."""
        cdef uint64_t mask = self.table.size - 1
        cdef uint64_t i = hole
        cdef uint64_t home
        while True:
            i = (i + 1) & mask
            if self.table.slots[i] == FREE_SLOT:
                break
            home = self.entry(self.number_in(self.table.slots[i])).hash.low & mask
            if ((i - home) & mask) >= ((i - hole) & mask):
                self.table.slots[hole] = self.table.slots[i]
                hole = i
        self.table.slots[hole] = FREE_SLOT

    cdef int begin_resize(self, uint64_t size) except -1:
        """Begin to move all slots to a table of another size."""
        cdef uint32_t* slots
        if size > NUMBER_MASK:
            raise MemoryError
        self.move_slots(self.old_table.size)
        slots = <uint32_t*>PyMem_Calloc(<size_t>size, sizeof(uint32_t))
        if slots is NULL:
            raise MemoryError
        self.old_table = self.table
        self.next_move = 0
        self.table.slots = slots
        self.table.size = size
        return 0

    cdef void move_slots(self, uint64_t count) noexcept:
        """Move up to `count` slots from the old table, if there is one."""
        cdef uint32_t slot
        cdef Hash128 hashed
        if self.old_table.slots is NULL:
            return
        while count and self.next_move < self.old_table.size:
            slot = self.old_table.slots[self.next_move]
            if slot != FREE_SLOT and slot != <uint32_t>MOVED_SLOT:
                hashed = self.entry(self.number_in(slot)).hash
                self.table.slots[self.find_slot(&self.table, hashed)] = slot
                self.old_table.slots[self.next_move] = <uint32_t>MOVED_SLOT
            self.next_move += 1
            count -= 1
        if self.next_move == self.old_table.size:
            PyMem_Free(self.old_table.slots)
            self.old_table.slots = NULL
            self.old_table.size = 0

    cdef int add_row(self, uint64_t last_id, uint64_t created_ms, uint64_t end) except -1:
        cdef IdRow* row
        if self.first_row and self.end_row == self.row_capacity:
            memmove(self.rows, self.rows + self.first_row, <size_t>self.row_count() * sizeof(IdRow))
            self.end_row -= self.first_row
            self.first_row = 0
        self.rows = <IdRow*>with_capacity(self.rows, self.end_row, &self.row_capacity, sizeof(IdRow))
        row = &self.rows[self.end_row]
        row.last_id = last_id
        row.created_ms = created_ms
        row.end = end
        self.end_row += 1
        return 0

    cdef list pack_rows(self, uint64_t created_ms):
        """Rows for the ids that are in none yet, as pairs (key, value)."""
        cdef list rows = []
        cdef uint64_t number = self.written_end()
        cdef uint64_t end
        cdef bytes value
        cdef IdRowLayout* fixed
        cdef IdRowEntryLayout* at
        while number < self.end:
            end = min(self.end, number + MAX_ROW_IDS)
            value = PyBytes_FromStringAndSize(
                NULL, ID_ROW_FIXED_BYTES + <Py_ssize_t>(end - number) * ID_ROW_ENTRY_BYTES
            )
            fixed = <IdRowLayout*>PyBytes_AS_STRING(value)
            fixed.version = ID_ROW_VERSION
            memset(fixed.reserved, 0, sizeof(fixed.reserved))
            put_u32(fixed.count, <uint32_t>(end - number))
            put_u64(fixed.created_ms, created_ms)
            at = <IdRowEntryLayout*>(fixed + 1)
            while number < end:
                put_u64(at.hash_low, self.entry(number).hash.low)
                put_u64(at.hash_high, self.entry(number).hash.high)
                put_u64(at.msg_id, self.entry(number).msg_id)
                at += 1
                number += 1
            self.add_row(self.entry(end - 1).msg_id, created_ms, end)
            rows.append((message_key(self.uid, IDS_RANK, self.entry(end - 1).msg_id), value))
        return rows

    cdef Py_ssize_t load_row(self, uint64_t last_id, bytes value) except -1:
        """Add the ids of a stored row; returns their number. CorruptRecord if it is not such a row."""
        cdef const IdRowLayout* fixed = <const IdRowLayout*>PyBytes_AS_STRING(value)
        cdef const IdRowEntryLayout* at = <const IdRowEntryLayout*>(fixed + 1)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
        cdef Hash128 hashed
        cdef uint32_t _i, count
        if size < ID_ROW_FIXED_BYTES or <uint8_t>fixed.version != ID_ROW_VERSION:
            raise CorruptRecord(f"a stored row of {size} bytes is not a row of message ids")
        count = read_u32(fixed.count)
        if count == 0 or size != ID_ROW_FIXED_BYTES + <Py_ssize_t>count * ID_ROW_ENTRY_BYTES:
            raise CorruptRecord(f"a row of message ids of {size} bytes does not have the length in it")
        for _i in range(count):
            hashed.low = read_u64(at.hash_low)
            hashed.high = read_u64(at.hash_high)
            self.add(hashed, read_u64(at.msg_id))
            at += 1
        self.add_row(last_id, read_u64(fixed.created_ms), self.end)
        return count

    cdef list drop_rows(self, uint64_t oldest_ms, Py_ssize_t most):
        """Forget the ids of rows that were added before `oldest_ms`, of at most `most` rows. Returns the keys
        of these rows."""
        cdef list keys = []
        cdef IdRow* row
        while most and self.first_row < self.end_row:
            row = &self.rows[self.first_row]
            if row.created_ms >= oldest_ms:
                break
            while self.first < row.end:
                self.move_slots(MOVES)
                self.drop_first()
            keys.append(message_key(self.uid, IDS_RANK, row.last_id))
            self.first_row += 1
            most -= 1
        if self.table.size > MIN_SLOTS and <uint64_t>self.count() * MIN_LOAD_DIVISOR < self.table.size:
            self.begin_resize(self.table.size // 4)
        return keys
