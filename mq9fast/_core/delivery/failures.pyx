"""Counts failed deliveries; the contract, and who uses it, is in failures.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.failed_deliveries cimport (
    FailedDeliveries, Failure, failure_key, pack_failure, unpack_failure
)
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.row_format cimport FAILURES_RANK, MessageKeyLayout, read_u64

cdef enum:
    ALL_ROWS = 1 << 30

cdef extern from *:
    const uint64_t NO_MESSAGES "(UINT64_C(1) << 63)"


cdef class Failures:
    """One for each broker."""

    def __cinit__(self, MailboxIndex mailbox_index not None, Accumulator accumulator not None, *, store):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.store = store

    cdef bint load(self, Mailbox mailbox, Py_ssize_t most) except -1:
        """Load up to `most` rows of the mailbox. Returns whether all are loaded. Raises what the store
        raises."""
        cdef FailedDeliveries failed = mailbox.failed
        cdef Failure row
        cdef Failure* failure
        cdef bint is_dead = False
        cdef bytes key, value
        if failed is None:
            if not mailbox.has_failure_rows:
                return True
            failed = mailbox.failed = FailedDeliveries()
        if failed.loaded:
            return True
        first = failure_key(mailbox.uid, failed.next_row)
        for key, value in self.store.scan(first, message_key(mailbox.uid, FAILURES_RANK + 1, 0)):
            if most == 0:
                return False
            most -= 1
            text = unpack_failure(value, &row, &is_dead)
            row.msg_id = read_u64((<const MessageKeyLayout*>PyBytes_AS_STRING(key)).msg_id)
            failure = failed.add(row.msg_id)
            failure[0] = row
            if is_dead:
                failed.dead[row.msg_id] = text
            failed.next_row = row.msg_id + 1
        failed.loaded = True
        return True

    cdef Failure* find(self, Mailbox mailbox, uint64_t msg_id) noexcept:
        """The failed deliveries of a message, NULL if there are none. All are loaded. DANGER: valid until
        another one is counted or forgotten."""
        return NULL if mailbox.failed is None else mailbox.failed.find(msg_id)

    cdef bint count(
        self, Mailbox mailbox, uint64_t msg_id, uint64_t asked_ms, uint32_t* counted
    ) except -1:
        """Count a failed delivery. The message waits until `asked_ms`, or, if that is 0, as the `backoff` of
        its mailbox says. Returns whether it waits. What is to be a dead letter is not counted any more.
        Raises what the store raises.

        `counted`: 0, and is set to the count. If the commit group fails, the caller calls this again with
        that value: the store may have the count all the same.
        """
        cdef Failure* failure = self.add(mailbox, msg_id)
        cdef uint64_t now_ms = self.mailbox_index.now_ms
        if mailbox.failed.is_dead(msg_id):
            return False
        if counted[0] and failure.count >= counted[0]:
            self.put_row(mailbox, failure)
            return failure.due_ms != 0
        failure.count += 1
        counted[0] = failure.count
        if not asked_ms and mailbox.options is not None:
            asked_ms = now_ms + mailbox.options.backoff_ms(failure.count)
        failure.due_ms = asked_ms if asked_ms > now_ms else 0
        self.put_row(mailbox, failure)
        self.counted += 1
        return failure.due_ms != 0

    cdef int keep_dead(self, Mailbox mailbox, uint64_t msg_id, uint32_t deliveries, bytes text) except -1:
        """The message is dead, after so many deliveries, and cannot be moved now: no client gets it any more,
        and it is tried again. `text`: that of +TERM, None if it failed too often. Raises what the store
        raises."""
        cdef Failure* failure = self.add(mailbox, msg_id)
        failure.count = max(deliveries, <uint32_t>1)
        failure.due_ms = 0
        mailbox.failed.dead[msg_id] = text
        self.put_row(mailbox, failure)
        if mailbox.failed.retry_ms <= self.mailbox_index.now_ms:
            self.retry_later(mailbox, self.mailbox_index.now_ms + RETRY_MS)
        return 0

    cdef int retry_later(self, Mailbox mailbox, uint64_t due_ms) except -1:
        """Have `Expirer` call `DeadLetters.retry` for the mailbox at this time, by a due row."""
        mailbox.failed.retry_ms = due_ms
        # The key of a due row ends in an id. No message has this one, and no other due row.
        return self.accumulator.group.agenda.add(
            mailbox, FAILURES_RANK, NO_MESSAGES + self.mailbox_index.now_ms, due_ms
        )

    cdef Failure* add(self, Mailbox mailbox, uint64_t msg_id) except NULL:
        """The entry of a message, which the caller then counts if it is a new one."""
        self.load(mailbox, ALL_ROWS)
        if mailbox.failed is None:
            mailbox.failed = FailedDeliveries()
            mailbox.failed.loaded = True
        return mailbox.failed.add(msg_id)

    cdef int put_row(self, Mailbox mailbox, const Failure* failure) except -1:
        cdef bint is_dead = mailbox.failed.is_dead(failure.msg_id)
        cdef bytes text = mailbox.failed.dead[failure.msg_id] if is_dead else None
        mailbox.has_failure_rows = True
        self.accumulator.group.put_raw(
            failure_key(mailbox.uid, failure.msg_id), pack_failure(failure, is_dead, text)
        )
        return self.accumulator.group.touch(mailbox)

    cdef int forget(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """The message was deleted: forget its failed deliveries in the same commit."""
        if not mailbox.has_failure_rows:
            return 0
        if mailbox.failed is None or not mailbox.failed.loaded:
            self.accumulator.group.delete_raw(failure_key(mailbox.uid, msg_id))
            return 0
        if mailbox.failed.find(msg_id) is not NULL:
            self.accumulator.group.delete_raw(failure_key(mailbox.uid, msg_id))
            mailbox.failed.remove(msg_id)
            if mailbox.failed.size == 0:
                mailbox.failed = None
                mailbox.has_failure_rows = False
                self.accumulator.group.touch(mailbox)
        return 0


def failed_deliveries(store, Mailbox mailbox not None, uint64_t msg_id) -> int:
    """How many deliveries of a message failed. Raises what the store raises, and CorruptRecord."""
    cdef Failure* found
    cdef Failure row
    cdef bint is_dead
    if not mailbox.has_failure_rows:
        return 0
    if mailbox.failed is not None and mailbox.failed.loaded:
        found = mailbox.failed.find(msg_id)
        return 0 if found is NULL else found.count
    value = store.get(failure_key(mailbox.uid, msg_id))
    if value is None:
        return 0
    unpack_failure(value, &row, &is_dead)
    return row.count
