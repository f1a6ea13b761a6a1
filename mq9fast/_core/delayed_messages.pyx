"""The delayed messages of mailboxes; the contract, and who uses it, is in delayed_messages.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport view_of
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport (
    NewMessage, StoredMessage, content_bytes, message_key, put_message, unpack_message
)
from mq9fast._core.storage.row_format cimport (
    DELAYED_RANK, MESSAGE_FIXED_BYTES, MessageKeyLayout, read_u64
)
from mq9fast._core.storage.value_format cimport ValuePointer, describes_message


cdef uint64_t content_of(bytes value) except? 0:
    """The size of the headers and payload of a message, whose row may be a value pointer."""
    cdef ValuePointer pointer
    cdef StoredMessage message
    if describes_message(value, &pointer):
        return pointer.content
    unpack_message(view_of(value), &message)
    return <uint64_t>(message.header.size + message.payload.size)


cdef class DelayedMessages:
    """One for each broker. Methods raise what the store raises, and CorruptRecord. The store must have all of
    the sealed group."""

    def __cinit__(self, MailboxIndex mailbox_index not None, Accumulator accumulator not None, *, store):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.store = store

    cdef int add(self, Mailbox mailbox, const NewMessage* message, uint64_t due_ms) except -1:
        """Add a message, which has its msg_id and time, to the commit group as delayed."""
        cdef uint64_t size = <uint64_t>content_bytes(message)
        cdef int kind = DELAYED_RANK + message.rank
        cdef int rank
        cdef dict unwritten
        cdef bytes value = PyBytes_FromStringAndSize(
            NULL, MESSAGE_FIXED_BYTES + message.attributes.size + content_bytes(message)
        )
        put_message(PyBytes_AS_STRING(value), message)
        self.mailbox_index.need_times(mailbox)
        if mailbox.times.delayed == 0:
            for rank in range(RANKS):
                mailbox.times.first_delayed[rank] = message.msg_id
        self.accumulator.group.put_raw(message_key(mailbox.uid, kind, message.msg_id), value)
        self.accumulator.group.touch(mailbox)
        self.accumulator.group.agenda.add(mailbox, kind, message.msg_id, due_ms)
        unwritten = self.accumulator.group.agenda.delayed.setdefault((mailbox.uid, kind), {})
        unwritten[message.msg_id] = value
        mailbox.times.delayed += 1
        mailbox.size_bytes += size
        self.mailbox_index.message_count += 1
        self.mailbox_index.size_bytes += size
        return 0

    cdef bytes read(self, Mailbox mailbox, int kind, uint64_t msg_id):
        """The packed message; None if it is not delayed, or the write batch deletes it."""
        cdef bytes key
        cdef dict unwritten
        if mailbox.delayed() == 0:
            return None
        unwritten = self.accumulator.group.agenda.delayed.get((mailbox.uid, kind))
        if unwritten is not None and msg_id in unwritten:
            return unwritten[msg_id]
        key = message_key(mailbox.uid, kind, msg_id)
        return None if key in self.accumulator.group.agenda.cancelled else self.store.get(key)

    cdef bint is_unwritten(self, Mailbox mailbox, int kind, uint64_t msg_id) except -1:
        """Whether the write batch adds the message."""
        cdef dict unwritten = self.accumulator.group.agenda.delayed.get((mailbox.uid, kind))
        return unwritten is not None and msg_id in unwritten

    cdef int remove(self, Mailbox mailbox, int kind, uint64_t msg_id, uint64_t size) except -1:
        """Delete a message that was just read, with `size` bytes of headers and payload. Its due row stays,
        and finds nothing then."""
        cdef bytes key = message_key(mailbox.uid, kind, msg_id)
        cdef int rank = kind - DELAYED_RANK
        if self.is_unwritten(mailbox, kind, msg_id):
            del self.accumulator.group.agenda.delayed[(mailbox.uid, kind)][msg_id]
        else:
            self.accumulator.group.agenda.cancelled.add(key)
        self.accumulator.group.delete_raw(key)
        self.accumulator.group.touch(mailbox)
        check(mailbox.times.delayed > 0 and size <= mailbox.size_bytes, b"a delayed message was counted")
        if mailbox.times.first_delayed[rank] == msg_id:
            mailbox.times.first_delayed[rank] = msg_id + 1
        mailbox.times.delayed -= 1
        mailbox.size_bytes -= size
        self.mailbox_index.message_count -= 1
        self.mailbox_index.size_bytes -= size
        return 0

    cdef list oldest(self, Mailbox mailbox, int kind, uint64_t start, Py_ssize_t most):
        """Pairs (msg_id, size) of up to `most` messages of a kind, from the msg_id `start` on, ascending."""
        cdef list found = []
        cdef bytes key, value
        cdef uint64_t msg_id
        cdef int rank = kind - DELAYED_RANK
        cdef bint is_first = start <= mailbox.times.first_delayed[rank]
        cdef set cancelled = self.accumulator.group.agenda.cancelled
        start = max(start, mailbox.times.first_delayed[rank])
        first, end = message_key(mailbox.uid, kind, start), message_key(mailbox.uid, kind + 1, 0)
        for key, value in self.store.scan_stored(first, end):
            if len(found) == most:
                break
            if key not in cancelled:
                msg_id = read_u64((<const MessageKeyLayout*>PyBytes_AS_STRING(key)).msg_id)
                found.append((msg_id, content_of(value)))
        for msg_id, value in self.accumulator.group.agenda.delayed.get((mailbox.uid, kind), {}).items():
            if len(found) == most:
                break
            if msg_id >= start:
                found.append((msg_id, content_of(value)))
        if is_first:
            # The next look begins here, and not at what is deleted.
            mailbox.times.first_delayed[rank] = found[0][0] if found else mailbox.next_id
        return found
