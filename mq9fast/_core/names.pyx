"""The names of messages that took their place later; the contract is in names.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.row_format cimport (
    NAME_ENTRY_BYTES, NAME_ROW_VERSION, NAMES_BITS, NAMES_RANK, NameEntryLayout, put_u64, read_u64
)

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    NO_NAMES_BYTES = 1    # of a row without names: its version


cdef inline bytes row_key_of(Mailbox mailbox, uint64_t name):
    return message_key(mailbox.uid, NAMES_RANK, name >> NAMES_BITS)


cdef Py_ssize_t position_of(bytes row, uint64_t name) noexcept:
    """The offset of the entry of a name in a row, or -1."""
    cdef Py_ssize_t at
    for at in range(NO_NAMES_BYTES, PyBytes_GET_SIZE(row), NAME_ENTRY_BYTES):
        if read_u64((<const NameEntryLayout*>(PyBytes_AS_STRING(row) + at)).name) == name:
            return at
    return -1


cdef class Names:
    """One for each broker. Methods raise what the store raises, and CorruptRecord."""

    def __cinit__(self, Accumulator accumulator not None, *, store):
        self.accumulator = accumulator
        self.store = store

    def find(self, Mailbox mailbox not None, uint64_t name) -> int:
        """The id of the place of a message, by its name. Most messages have their name as their place."""
        return self.place_of(mailbox, name)

    cdef uint64_t place_of(self, Mailbox mailbox, uint64_t name) except? 0:
        """The id of the place of a message, by its name."""
        cdef bytes row
        cdef Py_ssize_t at
        if mailbox.times is None or not mailbox.times.has_names:
            return name
        row = self.read_row(row_key_of(mailbox, name))
        at = position_of(row, name)
        if at < 0:
            return name
        return read_u64((<const NameEntryLayout*>(PyBytes_AS_STRING(row) + at)).place)

    cdef int add(self, Mailbox mailbox, uint64_t name, int rank, uint64_t place) except -1:
        """Add the name of a message to the commit group."""
        cdef bytes key = row_key_of(mailbox, name)
        cdef bytes entry = PyBytes_FromStringAndSize(NULL, NAME_ENTRY_BYTES)
        cdef NameEntryLayout* at = <NameEntryLayout*>PyBytes_AS_STRING(entry)
        put_u64(at.name, name)
        at.rank = <char>rank
        put_u64(at.place, place)
        mailbox.times.has_names = True
        return self.write_row(key, self.read_row(key) + entry)

    cdef int forget(self, Mailbox mailbox, uint64_t name) except -1:
        """The message is deleted: forget its name. A name that is kept leads to no message."""
        cdef bytes key = row_key_of(mailbox, name)
        cdef bytes row = self.read_row(key)
        cdef Py_ssize_t at = position_of(row, name)
        return 0 if at < 0 else self.write_row(key, row[:at] + row[at + NAME_ENTRY_BYTES:])

    cdef int write_row(self, bytes key, bytes row) except -1:
        self.accumulator.group.agenda.name_rows[key] = row
        if PyBytes_GET_SIZE(row) == NO_NAMES_BYTES:
            self.accumulator.group.delete_raw(key)
        else:
            self.accumulator.group.put_raw(key, row)
        return 0

    cdef bytes read_row(self, bytes key):
        """A row of names, as the write batch has changed it. It may be without any."""
        cdef bytes row = self.accumulator.group.agenda.name_rows.get(key)
        if row is None:
            row = self.store.get(key)
        if row is None:
            return bytes([NAME_ROW_VERSION])
        if row[0] != NAME_ROW_VERSION or (PyBytes_GET_SIZE(row) - NO_NAMES_BYTES) % NAME_ENTRY_BYTES:
            raise CorruptRecord(f"a row of names of {len(row)} bytes has an unknown format")
        return row
