"""Hashes, hash maps, ordered sets and heaps, called from Python."""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.heap cimport Heap, HeapItem
from mq9fast._core.base.ordered_bytes cimport OrderedBytes
from mq9fast._core.base.sip_hash cimport Hash128, sip_hash
from mq9fast._core.base.view cimport view_of


def sip_hash_of(bytes text not None, uint64_t key_low, uint64_t key_high) -> tuple:
    """The hash of a text, as two numbers of 64 bits."""
    cdef Hash128 key
    cdef Hash128 found
    key.low, key.high = key_low, key_high
    found = sip_hash(view_of(text), key)
    return found.low, found.high


cdef class ExposedBytesMap(BytesMap):
    """A BytesMap with methods for Python."""

    def __len__(self) -> int:
        return self.size

    def get(self, bytes key not None):
        """The value of `key`, or None."""
        cdef PyObject* found = self.find(view_of(key))
        return None if found is NULL else <object>found

    def put(self, bytes key not None, object value not None) -> None:
        """Set the value of `key`."""
        self.insert(key, value)

    def pop(self, bytes key not None) -> bool:
        """Remove `key`; False if it was not there."""
        return self.remove(view_of(key))


cdef class ExposedOrderedBytes(OrderedBytes):
    """OrderedBytes with methods for Python."""

    def __len__(self) -> int:
        return self.size

    @property
    def chunks_in_use(self) -> int:
        return self.chunk_count

    def add(self, bytes item not None) -> None:
        """Add a string; ValueError if it is there."""
        if item in self.strings_from(item, 1):
            raise ValueError("the string is there")
        self.insert(item)

    def discard(self, bytes item not None) -> bool:
        """Remove a string; False if it was not there."""
        return self.remove(view_of(item))

    def strings_from(self, bytes start not None, Py_ssize_t max_count) -> list:
        """The first `max_count` strings that are not less than `start`, in order."""
        return self.items_from(view_of(start), max_count)


cdef class ExposedHeap(Heap):
    """A Heap of tickets."""

    def __len__(self) -> int:
        return self.size

    def first_ticket(self):
        """The ticket at the top, or None."""
        cdef HeapItem* item = self.first()
        return None if item is NULL else <Ticket>item.owner


@cython.no_gc_clear
cdef class Ticket:
    """An item of a heap: its key, its slot and its heap."""

    cdef HeapItem item
    cdef ExposedHeap heap

    def __cinit__(self, ExposedHeap heap not None, uint64_t major, uint64_t minor):
        self.heap = heap
        self.item.major = major
        self.item.minor = minor
        self.item.slot = -1
        self.item.owner = <void*>self

    def __dealloc__(self):
        # The heap only borrows it.
        if self.heap is not None:
            self.heap.remove(&self.item)

    @property
    def key(self):
        return self.item.major, self.item.minor

    @property
    def slot(self):
        return self.item.slot

    def push(self):
        """Put it into its heap; ValueError if it is there."""
        if self.item.slot >= 0:
            raise ValueError("the ticket is in the heap")
        self.heap.push(&self.item)

    def remove(self):
        self.heap.remove(&self.item)

    def move(self, uint64_t major, uint64_t minor):
        """Change the key of a ticket that is in the heap; ValueError if it is not."""
        if self.item.slot < 0:
            raise ValueError("the ticket is in no heap")
        self.item.major = major
        self.item.minor = minor
        self.heap.restore_order(&self.item)
