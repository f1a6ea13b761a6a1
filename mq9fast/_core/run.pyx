"""Runs of messages in the store; see run.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from mq9fast._core.address cimport RANKS
from mq9fast._core.mailbox cimport Mailbox
from mq9fast._core.record cimport (
    MESSAGE_KEY_BYTES, StoredMessage, message_key, put_u64, read_u32, read_u64, unpack_message
)
from mq9fast._core.views cimport to_bytes, view, view_of

from mq9fast._core.record import CorruptRecord

cdef enum:
    RUN_KEY_BYTES = MESSAGE_KEY_BYTES + 1


cdef bytes run_key(uint64_t uid, int rank, uint64_t row_id):
    """The key of a run. Its mark's, which is its last message's own, comes right before it in a scan."""
    return message_key(uid, rank, row_id) + b"\0"


cdef bytes row_key(uint64_t uid, int rank, const Spot* spot):
    """The key of the row in which a message lies."""
    if spot.count == 1:
        return message_key(uid, rank, spot.row_id)
    return run_key(uid, rank, spot.row_id)


cdef bytes pack_mark(uint64_t deleted):
    """The mark of a run of which the messages in the set are deleted."""
    cdef bytes value = PyBytes_FromStringAndSize(NULL, MARK_BYTES)
    cdef char* at = PyBytes_AS_STRING(value)
    put_u64(at, 0)
    at[0] = MARK_VERSION
    put_u64(at + 8, deleted)
    return value


cdef int unpack_mark(bytes value, uint64_t* deleted) except -1:
    """Read a mark; CorruptRecord if it is none."""
    if PyBytes_GET_SIZE(value) != MARK_BYTES or PyBytes_AS_STRING(value)[0] != MARK_VERSION:
        raise CorruptRecord(f"a mark of {len(value)} bytes has no known format")
    deleted[0] = read_u64(PyBytes_AS_STRING(value) + 8)
    if deleted[0] == 0:
        raise CorruptRecord("a mark has nothing deleted")
    return 0


cdef class Run:

    cdef int open(self, uint64_t row_id, bint alone, bytes value) except -1:
        """Look at a row of `row_id`; CorruptRecord if its lengths do not fit, or it is empty."""
        cdef const char* at = PyBytes_AS_STRING(value)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
        cdef Py_ssize_t first, begin = 0, end = 0
        cdef int count = 1, i
        if alone:
            if not is_message(value):
                raise CorruptRecord(f"a stored value of {size} bytes has no known format")
        else:
            count = <int><uint8_t>at[1] if size >= RUN_FIXED_BYTES and at[0] == RUN_VERSION else 0
            first = RUN_FIXED_BYTES + count * RUN_ENTRY_BYTES
            if not 2 <= count <= MOST_IN_RUN or size < first:
                raise CorruptRecord(f"a stored run of {size} bytes has no known format")
            for i in range(count):
                end = <Py_ssize_t>read_u32(at + RUN_FIXED_BYTES + i * RUN_ENTRY_BYTES + 8)
                if end < begin:
                    raise CorruptRecord(f"the ends of messages in a stored run of {size} bytes go back")
                begin = end
            if first + end != size:
                raise CorruptRecord(f"a stored run of {size} bytes is not as long as it says")
        self.value = value
        self.row_id = row_id
        self.alone = alone
        self.count = count
        return 0

    cdef uint64_t id_of(self, int index) noexcept:
        if self.alone:
            return self.row_id
        return read_u64(PyBytes_AS_STRING(self.value) + RUN_FIXED_BYTES + index * RUN_ENTRY_BYTES)

    cdef int find(self, uint64_t msg_id) noexcept:
        """The index of a message, or -1."""
        cdef int i
        for i in range(self.count):
            if self.id_of(i) == msg_id:
                return i
        return -1

    cdef int read(self, int index, StoredMessage* message) except -1:
        """Point `message` into the row; CorruptRecord if it is none."""
        cdef const char* at = PyBytes_AS_STRING(self.value)
        cdef const char* entry = at + RUN_FIXED_BYTES + index * RUN_ENTRY_BYTES
        cdef Py_ssize_t begin, end
        if self.alone:
            return unpack_message(view_of(self.value), message)
        begin = 0 if index == 0 else <Py_ssize_t>read_u32(entry - 4)
        end = <Py_ssize_t>read_u32(entry + 8)
        at += RUN_FIXED_BYTES + self.count * RUN_ENTRY_BYTES
        return unpack_message(view(at + begin, end - begin), message)


cdef class Runs:
    """Iterates over `rows`, which are (key, value) of one rank, as (msg_id, created_ms, header, payload).

    What is deleted is passed over, and so are ids below `start`. CorruptRecord for what cannot have been
    written.
    """

    def __cinit__(self, rows not None, uint64_t start):
        self.rows = iter(rows)
        self.start = start
        self.run = Run()

    cdef bint next_row(self) except -1:
        """Go to the next run and what is deleted of it; false if there is none."""
        cdef bytes key, value
        cdef uint64_t row_id, marked = 0
        cdef Py_ssize_t size
        self.deleted = 0
        self.index = -1
        self.run.count = 0
        for key, value in self.rows:
            size = PyBytes_GET_SIZE(key)
            if size != MESSAGE_KEY_BYTES and size != RUN_KEY_BYTES:
                raise CorruptRecord(f"a message key has {MESSAGE_KEY_BYTES} bytes, not {size}")
            row_id = read_u64(PyBytes_AS_STRING(key) + MESSAGE_KEY_BYTES - 8)
            if self.deleted and (size != RUN_KEY_BYTES or row_id != marked):
                raise CorruptRecord(f"a mark at {marked} stands before {row_id}")
            if PyBytes_GET_SIZE(value) and PyBytes_AS_STRING(value)[0] == MARK_VERSION:
                unpack_mark(value, &self.deleted)
                marked = row_id
                continue
            self.run.open(row_id, size == MESSAGE_KEY_BYTES, value)
            return True
        if self.deleted:
            raise CorruptRecord(f"a mark at {marked} stands before nothing")
        return False

    cdef bint next_message(self) except -1:
        """Go to the next message; false if there is none."""
        while True:
            self.index += 1
            while self.index >= self.run.count:
                if not self.next_row():
                    return False
                self.index = 0
            self.msg_id = self.run.id_of(self.index)
            if self.msg_id >= self.start and not has(self.deleted, self.index):
                self.run.read(self.index, &self.message)
                return True

    def __iter__(self):
        return self

    def __next__(self):
        if not self.next_message():
            raise StopIteration
        cdef StoredMessage* message = &self.message
        return self.msg_id, message.created_ms, to_bytes(message.header), to_bytes(message.payload)


cdef Runs durable_messages(object store, Mailbox mailbox, int rank, uint64_t start):
    """The messages of a rank, which may be delivered, with ids from `start` on; None if there are none."""
    start = max(start, mailbox.head[rank])
    if mailbox.count[rank] == 0 or start >= mailbox.durable_id:
        return None
    first = message_key(mailbox.uid, rank, start)
    return Runs(store.scan(first, message_key(mailbox.uid, rank, mailbox.durable_id)), start)


def stored_messages(store, Mailbox mailbox not None, int rank, uint64_t start):
    """Iterate over the durable messages of a rank (0 to 2; IndexError for another) with ids from `start` on,
    as (msg_id, created_ms, header, payload). Raises what the store raises, and CorruptRecord."""
    if not 0 <= rank < RANKS:
        raise IndexError(rank)
    return durable_messages(store, mailbox, rank, start) or ()
