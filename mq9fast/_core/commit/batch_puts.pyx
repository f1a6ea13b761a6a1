"""The new messages of a write batch; the contract, and who uses it, is in batch_puts.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Free
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.base.view cimport put, to_bytes
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.record cimport (
    NewMessage, StoredMessage, content_bytes, message_key, put_message, unpack_message
)
from mq9fast._core.storage.record_batch cimport batch_key
from mq9fast._core.storage.row_format cimport (
    BATCH_ENTRY_BYTES, BATCH_FIXED_BYTES, BATCH_ID_SPAN, BATCH_VERSION, MAX_BATCH_MESSAGES,
    MESSAGE_FIXED_BYTES, BatchEntryLayout, BatchLayout, put_u32, put_u64
)
from mq9fast._core.storage.value_format cimport MIN_LOGGED_BYTES


cdef class BatchPuts:

    def __cinit__(self):
        self.rows = []

    def __dealloc__(self):
        PyMem_Free(self.arena)
        PyMem_Free(self.messages)
        PyMem_Free(self.open_batches)

    cdef Py_ssize_t add(self, Mailbox mailbox, const NewMessage* new) except -1:
        """Copy a message; returns its index. The caller keeps the mailbox alive until `write`."""
        cdef Py_ssize_t size = MESSAGE_FIXED_BYTES + new.attributes.size + content_bytes(new)
        cdef Py_ssize_t index = self.count
        cdef Message* message
        cdef OpenBatch* open_batch
        cdef bytes row = None
        cdef char* start
        cdef char* end
        if size > MAX_ARENA_BYTES:
            row = PyBytes_FromStringAndSize(NULL, size)
            start = PyBytes_AS_STRING(row)
        else:
            self.arena = <char*>with_capacity(self.arena, self.arena_size, &self.arena_capacity, 1, size)
            start = self.arena + self.arena_size
        self.messages = <Message*>with_capacity(self.messages, self.count, &self.capacity, sizeof(Message))
        open_batch = self.open_batch(mailbox, new, size)
        message = &self.messages[index]
        message.row = NULL
        message.start = self.arena_size
        message.size = size
        message.msg_id = new.msg_id
        message.next_in_batch = -1
        message.open_batch = <int>(open_batch - self.open_batches)
        end = put_message(start, new)
        check(end - start == size, b"a packed message has the size that was reserved")
        if open_batch.count:
            check(self.messages[open_batch.last].msg_id < new.msg_id, b"the ids of a record batch ascend")
            self.messages[open_batch.last].next_in_batch = <int>index
        else:
            open_batch.first = <int>index
        open_batch.last = <int>index
        open_batch.count += 1
        open_batch.unwritten += 1
        open_batch.size += size
        if row is None:
            self.arena_size += size
        else:
            self.rows.append(row)
            message.row = <PyObject*>row
        self.count += 1
        return index

    cdef OpenBatch* open_batch(self, Mailbox mailbox, const NewMessage* new, Py_ssize_t size) except NULL:
        """The open record batch for a message of `size`; a new one if the last has no space for it."""
        cdef OpenBatch* open_batch
        cdef int rank = new.rank
        cdef Py_ssize_t limit = MAX_BATCH_BYTES_OF_LARGE if size >= MIN_LOGGED_BYTES else MAX_BATCH_BYTES
        cdef int index
        cdef OpenBatch* previous
        if mailbox.open_batch[rank]:
            check(mailbox.open_batch[rank] <= self.open_batch_count, b"a mailbox knows its open batch")
            open_batch = &self.open_batches[mailbox.open_batch[rank] - 1]
            check(
                open_batch.mailbox == <PyObject*>mailbox and open_batch.uid == mailbox.uid
                and open_batch.rank == rank, b"an open batch is of its mailbox and rank",
            )
            if open_batch.count == 0 or (
                open_batch.count < MAX_BATCH_MESSAGES and open_batch.size + size <= limit
                and new.msg_id - self.messages[open_batch.first].msg_id < BATCH_ID_SPAN
                and open_batch.composed == new.composed
            ):
                return open_batch
        self.open_batches = <OpenBatch*>with_capacity(
            self.open_batches, self.open_batch_count, &self.open_batch_capacity, sizeof(OpenBatch)
        )
        index = <int>self.open_batch_count
        open_batch = &self.open_batches[index]
        open_batch.oldest = index
        open_batch.unwritten = 0
        if mailbox.open_batch[rank]:
            previous = &self.open_batches[mailbox.open_batch[rank] - 1]
            previous.next = index
            open_batch.oldest = previous.oldest
            open_batch.unwritten = previous.unwritten
        self.open_batch_count += 1
        mailbox.open_batch[rank] = <uint32_t>self.open_batch_count
        open_batch.mailbox = <PyObject*>mailbox
        open_batch.uid = mailbox.uid
        open_batch.rank = rank
        open_batch.composed = new.composed
        open_batch.count = 0
        open_batch.first = open_batch.next = -1
        open_batch.size = 0
        return open_batch

    cdef Py_ssize_t unwritten(self, Mailbox mailbox, int rank) noexcept:
        """How many messages of the rank are here."""
        if mailbox.open_batch[rank] == 0:
            return 0
        return self.open_batches[mailbox.open_batch[rank] - 1].unwritten

    cdef Py_ssize_t next_unwritten(self, Mailbox mailbox, int rank, Py_ssize_t after) noexcept:
        """The index of the oldest message of the rank, or of the next one `after` an index; -1 at the end."""
        cdef int batch, i
        if after >= 0:
            batch = self.messages[after].open_batch
            i = self.messages[after].next_in_batch
        elif mailbox.open_batch[rank]:
            batch = self.open_batches[mailbox.open_batch[rank] - 1].oldest
            i = self.open_batches[batch].first
        else:
            return -1
        while True:
            while i >= 0 and self.messages[i].size == 0:
                i = self.messages[i].next_in_batch
            batch = self.open_batches[batch].next
            if i >= 0 or batch < 0:
                return i
            i = self.open_batches[batch].first

    cdef uint64_t content_size(self, Py_ssize_t index) except? 0:
        """The size of the header and payload of a message."""
        cdef StoredMessage message
        unpack_message(self.stored(&self.messages[index]), &message)
        return <uint64_t>(message.header.size + message.payload.size)

    cdef int rank_of(self, Py_ssize_t index) noexcept:
        """The rank of a message, until the write batch is written."""
        check(0 <= index < self.count, b"a message of the write batch has an index below their count")
        return self.open_batches[self.messages[index].open_batch].rank

    cdef void drop(self, Py_ssize_t index) noexcept:
        """Drop a message that is not written. Its index stays its own."""
        cdef Message* message = &self.messages[index]
        cdef OpenBatch* open_batch = &self.open_batches[message.open_batch]
        cdef Mailbox mailbox = <Mailbox>open_batch.mailbox
        cdef OpenBatch* last = &self.open_batches[mailbox.open_batch[open_batch.rank] - 1]
        check(message.size > 0 and open_batch.count > 0, b"a message is dropped once, before it is written")
        open_batch.count -= 1
        open_batch.size -= message.size
        last.unwritten -= 1
        message.size = 0
        if open_batch.count == 0:
            open_batch.first = -1
        else:
            while self.messages[open_batch.first].size == 0:
                open_batch.first = self.messages[open_batch.first].next_in_batch
        while self.open_batches[last.oldest].count == 0 and self.open_batches[last.oldest].next >= 0:
            last.oldest = self.open_batches[last.oldest].next

    cdef uint64_t row_id(self, const OpenBatch* open_batch) noexcept:
        """The id in the key of its row: that of its last message."""
        cdef int i
        cdef int last = open_batch.last
        if self.messages[last].size == 0:
            i = open_batch.first
            while i >= 0:
                if self.messages[i].size:
                    last = i
                i = self.messages[i].next_in_batch
        return self.messages[last].msg_id

    cdef int write(self, object put_row) except -1:
        """Pack the messages, add the rows to the store's write batch by `put_row(key, value)`, start anew."""
        cdef Py_ssize_t i
        cdef OpenBatch* open_batch
        cdef Message* message
        cdef uint64_t row_id
        cdef bytes key
        for i in range(self.open_batch_count):
            open_batch = &self.open_batches[i]
            (<Mailbox>open_batch.mailbox).open_batch[open_batch.rank] = 0
            if open_batch.count == 0:
                continue
            if open_batch.count > 1:
                row_id = self.row_id(open_batch)
                put_row(batch_key(open_batch.uid, open_batch.rank, row_id), self.pack(open_batch))
                continue
            message = &self.messages[open_batch.first]
            message.location.row_id = message.msg_id
            message.location.index = 0
            message.location.count = 1
            key = message_key(open_batch.uid, open_batch.rank, message.msg_id)
            put_row(key, to_bytes(self.stored(message)) if message.row is NULL else <bytes>message.row)
        self.open_batch_count = 0
        return 0

    cdef bytes pack(self, const OpenBatch* open_batch):
        """Pack a record batch, and set the location of each message."""
        cdef Py_ssize_t head = BATCH_FIXED_BYTES + open_batch.count * BATCH_ENTRY_BYTES
        cdef bytes value = PyBytes_FromStringAndSize(NULL, head + open_batch.size)
        cdef BatchLayout* fixed = <BatchLayout*>PyBytes_AS_STRING(value)
        cdef BatchEntryLayout* entry = <BatchEntryLayout*>(fixed + 1)
        cdef char* start = PyBytes_AS_STRING(value) + head
        cdef char* at = start
        cdef int i = open_batch.first
        cdef uint64_t row_id = self.row_id(open_batch)
        cdef Message* message
        cdef int index
        fixed.version = BATCH_VERSION
        fixed.count = <char>open_batch.count
        memset(fixed.reserved, 0, sizeof(fixed.reserved))
        for index in range(open_batch.count):
            while self.messages[i].size == 0:
                i = self.messages[i].next_in_batch
            check(0 <= i < self.count, b"a record batch knows its messages")
            message = &self.messages[i]
            message.location.row_id = row_id
            message.location.index = <unsigned char>index
            message.location.count = <unsigned char>open_batch.count
            at = put(at, self.stored(message))
            put_u64(entry.msg_id, message.msg_id)
            put_u32(entry.end, <uint32_t>(at - start))
            entry += 1
            i = message.next_in_batch
        check(
            at == start + open_batch.size and <char*>entry == start,
            b"a record batch is packed whole"
        )
        return value

    cdef void clear(self) noexcept:
        """Remove all messages; only after `write`."""
        check(self.open_batch_count == 0, b"messages are removed after they were written")
        self.rows.clear()
        self.count = self.arena_size = 0
