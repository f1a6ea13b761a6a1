"""What is due when; the contract, and who uses it, is in agenda.pxd."""

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint64_t
from libc.stdlib cimport qsort

from mq9fast._core.base.memory cimport PyMem_Free
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.base.view cimport view_of
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.due_row cimport due_row_key, due_row_value
from mq9fast._core.storage.row_format cimport DUE_STEP_MS, MAX_ROW_DUE, DueEntryLayout, put_u64


cdef int compare(const void* a, const void* b) noexcept nogil:
    cdef const DueMessage* one = <const DueMessage*>a
    cdef const DueMessage* other = <const DueMessage*>b
    if one.due_ms != other.due_ms:
        return -1 if one.due_ms < other.due_ms else 1
    if one.uid != other.uid:
        return -1 if one.uid < other.uid else 1
    if one.kind != other.kind:
        return -1 if one.kind < other.kind else 1
    return -1 if one.msg_id < other.msg_id else 1


cdef class Agenda:
    """One for each broker."""

    def __cinit__(self):
        self.delayed = {}
        self.cancelled = set()
        self.name_rows = {}

    def __dealloc__(self):
        self.clear()
        PyMem_Free(self.added)

    cdef int add(self, Mailbox mailbox, int kind, uint64_t msg_id, uint64_t due_ms) except -1:
        """Add a message to what the write batch adds. It is due at the end of a step of time."""
        cdef DueMessage* message
        self.added = <DueMessage*>with_capacity(self.added, self.count, &self.capacity, sizeof(DueMessage))
        message = &self.added[self.count]
        Py_INCREF(mailbox)
        message.mailbox = <PyObject*>mailbox
        message.uid = mailbox.uid
        message.due_ms = (due_ms // DUE_STEP_MS + 1) * DUE_STEP_MS
        message.msg_id = msg_id
        message.kind = <unsigned char>kind
        self.count += 1
        return 0

    cdef int write(self, object put) except -1:
        """Write the due rows of what was added, by `put(key, value)`, and start anew."""
        cdef DueEntryLayout[MAX_ROW_DUE] entries
        cdef Py_ssize_t i = 0
        self.delayed.clear()
        self.cancelled.clear()
        self.name_rows.clear()
        if self.count == 0:
            return 0
        qsort(self.added, <size_t>self.count, sizeof(DueMessage), compare)
        self.next_ms = min(self.next_ms, self.added[0].due_ms)
        while i < self.count:
            i = self.pack(put, i, entries)
        self.clear()
        return 0

    cdef Py_ssize_t pack(self, object put, Py_ssize_t first, DueEntryLayout* entries) except -1:
        """Write one row that begins with this message; returns the index of the next row's first."""
        cdef DueMessage* row = &self.added[first]
        cdef Mailbox mailbox = <Mailbox>row.mailbox
        cdef Py_ssize_t i = first
        while (
            i < self.count and i - first < MAX_ROW_DUE
            and self.added[i].due_ms == row.due_ms and self.added[i].uid == row.uid
        ):
            entries[i - first].kind = <char>self.added[i].kind
            put_u64(entries[i - first].msg_id, self.added[i].msg_id)
            i += 1
        if mailbox.exists and mailbox.uid == row.uid:
            put(
                due_row_key(row.due_ms, row.uid, self.added[i - 1].msg_id),
                due_row_value(view_of(mailbox.address), entries, i - first),
            )
        return i

    cdef void clear(self) noexcept:
        while self.count:
            self.count -= 1
            Py_XDECREF(self.added[self.count].mailbox)
