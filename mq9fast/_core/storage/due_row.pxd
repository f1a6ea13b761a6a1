"""The codec of due rows: what is due when, in all mailboxes, in the order of time.

A due row has messages of one mailbox that one commit group brought and that are due at about the same time.
`Agenda` packs them, and `Expirer` reads them when they are due. `row_format` has a drawing.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.storage.row_format cimport DueEntryLayout


cdef struct DueRow:
    # DANGER: address and entries point into the row that was unpacked.
    uint64_t due_ms
    uint64_t uid
    View address
    Py_ssize_t count
    const DueEntryLayout* entries


cdef bytes due_row_key(uint64_t due_ms, uint64_t uid, uint64_t last_id)
cdef bytes due_row_value(View address, const DueEntryLayout* entries, Py_ssize_t count)
cdef uint64_t due_time_in(bytes key) except? 0
cdef int unpack_due_row(bytes key, bytes value, DueRow* row) except -1
