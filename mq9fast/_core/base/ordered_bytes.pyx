"""Byte strings in ascending order; the contract, and who uses it, is in ordered_bytes.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.string cimport memcmp, memmove

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Free, PyMem_Malloc
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.base.view cimport View, same, view, view_of


cdef inline View item_at(const Chunk* chunk, Py_ssize_t i) noexcept:
    return view(PyBytes_AS_STRING(<object>chunk.items[i]), PyBytes_GET_SIZE(<object>chunk.items[i]))


cdef inline bint less(View a, View b) noexcept:
    cdef int order = memcmp(a.data, b.data, <size_t>min(a.size, b.size))
    return order < 0 or order == 0 and a.size < b.size


cdef Py_ssize_t place_in(const Chunk* chunk, View item) noexcept:
    """Index of the first item of the chunk that is not less than `item`; its count if there is none."""
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = chunk.count
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) // 2
        if less(item_at(chunk, middle), item):
            low = middle + 1
        else:
            high = middle
    return low


cdef void move_items(
    Chunk* target, Py_ssize_t at, const Chunk* source, Py_ssize_t first, Py_ssize_t count
) noexcept:
    check(at + count <= CHUNK_ITEMS and first + count <= CHUNK_ITEMS, b"items stay in their chunks")
    memmove(&target.items[at], &source.items[first], <size_t>count * sizeof(PyObject*))


cdef class OrderedBytes:
    """A set of bytes objects, in ascending order."""

    def __dealloc__(self):
        cdef Py_ssize_t at, i
        cdef Py_ssize_t found = 0
        for at in range(self.chunk_count):
            for i in range(self.chunks[at].count):
                Py_DECREF(<object>self.chunks[at].items[i])
            found += self.chunks[at].count
            PyMem_Free(self.chunks[at])
        check(found == self.size, b"the size of a set is the number of its strings")
        PyMem_Free(self.chunks)

    cdef Py_ssize_t chunk_of(self, View item) noexcept:
        """Index of the chunk that `item` is in, or would be inserted in. There is at least one chunk."""
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.chunk_count
        cdef Py_ssize_t middle
        while high - low > 1:
            middle = (low + high) // 2
            if less(item, item_at(self.chunks[middle], 0)):
                high = middle
            else:
                low = middle
        return low

    cdef int insert_chunk(self, Py_ssize_t at) except -1:
        """Insert an empty chunk, which the caller fills."""
        cdef Chunk* chunk
        self.chunks = <Chunk**>with_capacity(
            self.chunks, self.chunk_count, &self.capacity, sizeof(Chunk*)
        )
        chunk = <Chunk*>PyMem_Malloc(sizeof(Chunk))
        if chunk is NULL:
            raise MemoryError
        chunk.count = 0
        memmove(
            &self.chunks[at + 1], &self.chunks[at], <size_t>(self.chunk_count - at) * sizeof(Chunk*)
        )
        self.chunks[at] = chunk
        self.chunk_count += 1
        return 0

    cdef void remove_chunk(self, Py_ssize_t at) noexcept:
        """Remove a chunk whose items have moved."""
        PyMem_Free(self.chunks[at])
        self.chunk_count -= 1
        memmove(
            &self.chunks[at], &self.chunks[at + 1], <size_t>(self.chunk_count - at) * sizeof(Chunk*)
        )

    cdef int insert(self, bytes item) except -1:
        """Insert `item`, which must not be there."""
        cdef View key = view_of(item)
        cdef Chunk* chunk
        cdef Chunk* following
        cdef Py_ssize_t at, place
        if self.chunk_count == 0:
            self.insert_chunk(0)
        at = self.chunk_of(key)
        chunk = self.chunks[at]
        place = place_in(chunk, key)
        check(place == chunk.count or not same(item_at(chunk, place), key), b"a set has each string once")
        if chunk.count == CHUNK_ITEMS:
            self.insert_chunk(at + 1)
            following = self.chunks[at + 1]
            if place == CHUNK_ITEMS and at + 2 == self.chunk_count:
                # Behind all others: the chunk stays full.
                chunk, place = following, 0
            else:
                following.count = CHUNK_ITEMS // 2
                chunk.count = CHUNK_ITEMS - following.count
                move_items(following, 0, chunk, chunk.count, following.count)
                if place > chunk.count:
                    chunk, place = following, place - chunk.count
        move_items(chunk, place + 1, chunk, place, chunk.count - place)
        Py_INCREF(item)
        chunk.items[place] = <PyObject*>item
        chunk.count += 1
        self.size += 1
        return 0

    cdef bint remove(self, View item) noexcept:
        """Remove `item`; false if it was not there.

        DANGER: `item` may point into the removed object. It must not be used after this call.
        """
        cdef Chunk* chunk
        cdef PyObject* removed
        cdef Py_ssize_t at, place
        if self.chunk_count == 0:
            return False
        at = self.chunk_of(item)
        chunk = self.chunks[at]
        place = place_in(chunk, item)
        if place == chunk.count or not same(item_at(chunk, place), item):
            return False
        removed = chunk.items[place]
        chunk.count -= 1
        move_items(chunk, place, chunk, place + 1, chunk.count - place)
        self.size -= 1
        if chunk.count == 0:
            self.remove_chunk(at)
        else:
            self.merge_with_next(at if at + 1 < self.chunk_count else at - 1)
        Py_DECREF(<object>removed)
        return True

    cdef void merge_with_next(self, Py_ssize_t at) noexcept:
        """Merge two chunks that together are at most half full, so that few items do not take many chunks."""
        cdef Chunk* chunk
        cdef Chunk* following
        if at < 0 or self.chunks[at].count + self.chunks[at + 1].count > CHUNK_ITEMS // 2:
            return
        chunk = self.chunks[at]
        following = self.chunks[at + 1]
        move_items(chunk, chunk.count, following, 0, following.count)
        chunk.count += following.count
        self.remove_chunk(at + 1)

    cdef list items_from(self, View start, Py_ssize_t max_count):
        """The first `max_count` strings that are not less than `start`, in order."""
        cdef list found = []
        cdef Py_ssize_t at, place
        if self.chunk_count == 0:
            return found
        at = self.chunk_of(start)
        place = place_in(self.chunks[at], start)
        while at < self.chunk_count and len(found) < max_count:
            if place < self.chunks[at].count:
                found.append(<object>self.chunks[at].items[place])
                place += 1
            else:
                at += 1
                place = 0
        return found
