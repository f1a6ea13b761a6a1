"""Messages on their way into the store; see batch_puts.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free
from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from mq9fast._core.base.vector cimport with_room
from mq9fast._core.base.view cimport View, put, to_bytes
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.record cimport MESSAGE_FIXED_BYTES, message_key, put_message, put_u32, put_u64
from mq9fast._core.storage.record_batch cimport (
    MOST_IN_RUN, RUN_ENTRY_BYTES, RUN_FIXED_BYTES, RUN_SPAN, RUN_VERSION, run_key,
)


cdef class Gathered:

    def __dealloc__(self):
        PyMem_Free(self.arena)
        PyMem_Free(self.messages)
        PyMem_Free(self.runs)

    cdef Py_ssize_t add(
        self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t now_ms, View header, View payload
    ) except -1:
        """Take a copy of a message; returns its index. The mailbox has to live until `write`."""
        cdef Py_ssize_t size = MESSAGE_FIXED_BYTES + header.size + payload.size
        cdef Py_ssize_t index = self.count
        cdef Message* message
        cdef OpenRun* run
        self.arena = <char*>with_room(self.arena, self.arena_size, &self.arena_room, 1, size)
        self.messages = <Message*>with_room(self.messages, self.count, &self.room, sizeof(Message))
        run = self.open_run(mailbox, rank, msg_id, size)
        message = &self.messages[index]
        message.start = self.arena_size
        message.size = size
        message.msg_id = msg_id
        message.following = -1
        put_message(self.arena + self.arena_size, now_ms, header, payload)
        if run.count:
            self.messages[run.last].following = index
        else:
            run.first = index
        run.last = index
        run.count += 1
        run.size += size
        self.arena_size += size
        self.count += 1
        return index

    cdef OpenRun* open_run(self, Mailbox mailbox, int rank, uint64_t msg_id, Py_ssize_t size) except NULL:
        """The run of the mailbox's rank that has room for a message, a new one if need be."""
        cdef OpenRun* run
        if mailbox.run[rank]:
            run = &self.runs[mailbox.run[rank] - 1]
            if (
                run.count < MOST_IN_RUN and run.size + size <= RUN_BYTES
                and msg_id - self.messages[run.first].msg_id < RUN_SPAN
            ):
                return run
        self.runs = <OpenRun*>with_room(self.runs, self.run_count, &self.run_room, sizeof(OpenRun))
        run = &self.runs[self.run_count]
        self.run_count += 1
        mailbox.run[rank] = <uint32_t>self.run_count
        run.mailbox = <PyObject*>mailbox
        run.uid = mailbox.uid
        run.rank = rank
        run.count = 0
        run.size = 0
        return run

    cdef int write(self, object put_row) except -1:
        """Put the runs into a batch, `put_row(key, value)`, and begin new ones."""
        cdef Py_ssize_t i
        cdef OpenRun* run
        cdef Message* message
        for i in range(self.run_count):
            run = &self.runs[i]
            (<Mailbox>run.mailbox).run[run.rank] = 0
            if run.count > 1:
                put_row(run_key(run.uid, run.rank, self.messages[run.last].msg_id), self.pack(run))
                continue
            message = &self.messages[run.first]
            message.spot.row_id = message.msg_id
            message.spot.index = 0
            message.spot.count = 1
            put_row(message_key(run.uid, run.rank, message.msg_id), to_bytes(self.stored(message)))
        self.run_count = 0
        return 0

    cdef bytes pack(self, const OpenRun* run):
        """A run as it is stored; its messages learn where they lie."""
        cdef Py_ssize_t head = RUN_FIXED_BYTES + run.count * RUN_ENTRY_BYTES
        cdef bytes value = PyBytes_FromStringAndSize(NULL, head + run.size)
        cdef char* entry = PyBytes_AS_STRING(value)
        cdef char* start = entry + head
        cdef char* at = start
        cdef Py_ssize_t i = run.first
        cdef Message* message
        cdef int index
        memset(entry, 0, RUN_FIXED_BYTES)
        entry[0] = RUN_VERSION
        entry[1] = <char>run.count
        entry += RUN_FIXED_BYTES
        for index in range(run.count):
            message = &self.messages[i]
            message.spot.row_id = self.messages[run.last].msg_id
            message.spot.index = <unsigned char>index
            message.spot.count = <unsigned char>run.count
            at = put(at, self.stored(message))
            entry = put_u32(put_u64(entry, message.msg_id), <uint32_t>(at - start))
            i = message.following
        return value

    cdef void clear(self) noexcept:
        """Forget the messages, which were written and are of no further use."""
        self.count = self.arena_size = 0
