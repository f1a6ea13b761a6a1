"""The messages that a queue group has given out and that are not deleted yet, by msg_id, with their members.

Each QueueGroup owns one table. An entry borrows its member: the member empties its list before it goes.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mq9fast._core.base.heap cimport Heap, HeapItem
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.protocol.literals cimport CRITICAL, URGENT
from mq9fast._core.storage.record_batch cimport RecordLocation


cdef enum InFlightState:
    HELD              # given to its member
    UNSTORED          # its delivery failed, which is to be stored
    STORING           # the commit group that stores it is not durable yet
    WAITING           # until its time has come
    RETURNED          # for another member
    DELETING          # deleted by a commit group that is not durable yet


cdef struct InFlight:
    # minor = msg_id; major = rank; while HELD when it was given; while WAITING until when; while STORING
    # whether it will wait
    HeapItem item
    RecordLocation location  # of the message in the store
    uint64_t delivery        # number of its last delivery, for the token; 0 = without a token
    uint64_t asked_ms        # until when its -NAK has it wait; 0 = the `backoff` of its mailbox decides
    uint32_t size            # of header and payload, in bytes
    uint32_t counted         # its failed deliveries, if the last one is counted and not durable; else 0
    uint8_t state            # an InFlightState
    uint8_t former           # while DELETING: its state before
    uint8_t rank
    uint8_t flags            # of the message: a set of MessageFlags
    void* member             # borrowed; NULL while the message has no member
    InFlight* previous       # on the member's list
    InFlight* next           # on the member's list
    InFlight* chain          # the next entry in the same bucket


cdef struct InFlightList:
    InFlight* first          # the last one that was given or prolonged
    InFlight* last           # the first one
    Py_ssize_t count
    uint64_t unanswered      # those of them that are HELD


cdef class InFlightTable:
    cdef Mailbox mailbox
    cdef InFlight** buckets
    cdef Py_ssize_t capacity      # a power of two
    cdef Py_ssize_t size
    cdef Heap critical            # returned messages, one heap per rank
    cdef Heap urgent
    cdef Heap normal
    cdef Heap unstored            # by rank and id; None until a delivery fails
    cdef Heap waiting             # by time
    cdef Py_ssize_t storing       # entries in the state STORING
    # By rank: entries that were given back and come before all new messages, once they are stored.
    cdef Py_ssize_t returning[3]

    cdef inline Heap returned(self, uint64_t rank):
        return self.critical if rank == CRITICAL else self.urgent if rank == URGENT else self.normal

    cdef inline Py_ssize_t returned_count(self) noexcept:
        """Entries without a member that are not deleted."""
        cdef Py_ssize_t count = self.critical.size + self.urgent.size + self.normal.size
        if self.unstored is not None:
            count += self.unstored.size + self.waiting.size + self.storing
        return count

    cdef InFlight* find(self, uint64_t msg_id) noexcept
    cdef InFlight* add(self, int rank, uint64_t msg_id, uint64_t size, RecordLocation location) except NULL
    cdef void begin_deletion(self, InFlight* entry, InFlightList* member_of) noexcept
    cdef void deletion_failed(self, InFlight* entry, InFlightList* member_of) noexcept
    cdef void drop(self, InFlight* entry, InFlightList* member_of) noexcept
    cdef void give(
        self, InFlight* entry, void* member, InFlightList* member_of, uint64_t now_ms
    ) noexcept
    cdef void prolong(self, InFlight* entry, InFlightList* member_of, uint64_t now_ms) noexcept
    cdef int return_to_group(self, InFlight* entry, InFlightList* member_of) except -1
    cdef int add_heaps(self) except -1
    cdef int fail(self, InFlight* entry, InFlightList* member_of) except -1
    cdef void begin_storing(self, InFlight* entry, bint waits) noexcept
    cdef int wait(self, InFlight* entry, uint64_t due_ms) except -1
    cdef void take_out(self, InFlight* entry) noexcept
    cdef void clear(self) noexcept
    cdef void free_entries(self) noexcept
    cdef int resize(self) except -1
