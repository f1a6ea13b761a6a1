"""What members gave back; the contract, and who uses it, is in given_back.pxd."""

from collections import deque

from libc.stdint cimport int64_t, uint32_t, uint64_t

from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.base.timers cimport Timed, Timers
from mq9fast._core.base.view cimport View, to_bytes
from mq9fast._core.delivery.catch_up_queue cimport CatchUpQueue
from mq9fast._core.delivery.consumer cimport Consumer
from mq9fast._core.delivery.failures cimport NO_DELAY_GIVEN, Failures
from mq9fast._core.delivery.in_flight cimport (
    DELETING,
    RETURNED,
    STORING,
    UNSTORED,
    InFlight,
    InFlightTable,
)
from mq9fast._core.mailbox.failed_deliveries cimport Failure
from mq9fast._core.mailbox.options cimport MailboxOptions
from mq9fast._core.protocol.headers cimport without_first_line

cdef enum:
    SHARE = 256           # failed deliveries that one turn stores
    RUNG_AT_ONCE = 1024   # messages of one group that become due together
    SHARE_ENTRY_BYTES = 48


cdef bytes with_deliveries(View header, uint32_t deliveries):
    """The header block of a message that is delivered again, for the `deliveries`th time."""
    cdef bytes rest = to_bytes(without_first_line(header)) if header.size else b"\r\n"
    return b"NATS/1.0\r\nMq9-Deliveries: %d\r\n%b" % (deliveries, rest)


cdef class GroupWork:
    """One for each broker. `first_group`: a random number, from which groups are numbered."""

    def __cinit__(
        self, CatchUpQueue catch_up_queue not None, Failures failures not None, uint64_t first_group, bury
    ):
        self.catch_up_queue = catch_up_queue
        self.failures = failures
        self.timers = Timers()
        self.last_group = first_group
        self.bury = bury
        self.unstored = deque()

    cdef int store_some(self) except -1:
        """Store a share of the failed deliveries. The next turn goes on. Nothing happens while the store
        accepts no writes. Raises what the store raises."""
        cdef GivenBack given_back
        cdef Py_ssize_t left = SHARE
        while self.unstored and not self.failures.accumulator.store_failed:
            if left <= 0 or self.failures.accumulator.is_full():
                return self.catch_up_queue.pending_work.schedule_end()
            given_back = self.unstored[0]
            left -= given_back.store_share(left)
            if given_back.table.unstored.size == 0:
                self.unstored.popleft()
                given_back.queued = False
        return 0


cdef class Share:
    """Failed deliveries that one commit group stores."""
    cdef GivenBack given_back
    cdef uint64_t uid
    cdef list ids

    def __cinit__(self, GivenBack given_back not None):
        self.given_back = given_back
        self.uid = given_back.mailbox.uid
        self.ids = []

    def __call__(self, durable):
        if self.given_back.mailbox.uid == self.uid:
            self.given_back.share_done(self.ids, durable)


cdef class GivenBack(Timed):
    """What the members of one group gave back."""

    def __cinit__(self, GroupWork work not None, Consumer group not None, InFlightTable table not None):
        self.work = work
        self.mailbox = group.mailbox
        self.group = group
        self.table = table

    cdef int queue(self) except -1:
        """Entries of the table became UNSTORED: store them at the end of this turn, and of the next ones."""
        if not self.queued:
            self.queued = True
            self.work.unstored.append(self)
        return self.work.catch_up_queue.pending_work.schedule_end()

    cdef int store_one(self, InFlight* entry, int64_t delay_ms) except -1:
        """Store the failed delivery of an UNSTORED entry in the commit group that gathers now. While the
        store accepts no writes, it is stored later. The entry keeps the delay until it is durable."""
        cdef Share share
        cdef bint waits
        if delay_ms != NO_DELAY_GIVEN:
            entry.asked_ms = self.work.failures.mailbox_index.now_ms + <uint64_t>delay_ms
        if self.work.failures.accumulator.store_failed:
            return self.queue()
        share = Share(self)
        try:
            waits = self.work.failures.count(
                self.mailbox, entry.item.minor, entry.asked_ms, &entry.counted
            )
        except Exception:
            self.queue()
            raise
        self.table.begin_storing(entry, waits)
        share.ids.append(entry.item.minor)
        self.work.failures.accumulator.group.defer(share, SHARE_ENTRY_BYTES)
        self.bury(entry.item.minor)
        return 0

    cdef Py_ssize_t store_share(self, Py_ssize_t most) except -1:
        """Store up to `most` failed deliveries, the most urgent and oldest messages first. Returns how many,
        at least 1."""
        cdef Share share = Share(self)
        cdef HeapItem* item
        cdef InFlight* entry
        cdef Py_ssize_t count = 0
        cdef bint waits
        while count < most:
            item = self.table.unstored.first()
            if item is NULL:
                break
            entry = <InFlight*>item.owner
            waits = self.work.failures.count(self.mailbox, item.minor, entry.asked_ms, &entry.counted)
            self.table.begin_storing(entry, waits)
            share.ids.append(item.minor)
            count += 1
        if count:
            self.work.failures.accumulator.group.defer(share, SHARE_ENTRY_BYTES * count)
            for msg_id in share.ids:
                self.bury(msg_id)
        return max(count, <Py_ssize_t>1)

    cdef int share_done(self, list ids, bint durable) except -1:
        """The commit group of a share is durable, or has failed: then the share is stored again."""
        cdef InFlight* entry
        for msg_id in ids:
            entry = self.table.find(msg_id)
            if entry is NULL:
                continue
            if durable:
                entry.counted = 0
            if not durable and entry.state in (STORING, RETURNED):
                # RETURNED: it was to be a dead letter in the same commit group.
                self.table.fail(entry, NULL)
            elif entry.state == STORING and not self.must_wait(entry):
                self.table.return_to_group(entry, NULL)
        if not durable:
            return self.queue()
        self.group.caught_up = False
        return self.work.catch_up_queue.add(self.group)

    cdef bint take_back(self, InFlight* entry) except -1:
        """The deletion of an entry without a member failed. Whether the entry waits, or is to be stored."""
        if entry.former == UNSTORED or entry.counted:
            self.table.fail(entry, NULL)
            self.queue()
            return True
        return self.must_wait(entry)

    cdef bint must_wait(self, InFlight* entry) except -1:
        """Whether no group may get the message yet, or ever. If it waits, so does its entry."""
        cdef const Failure* failure = self.work.failures.find(self.mailbox, entry.item.minor)
        cdef Share share
        cdef uint32_t count
        if failure is not NULL and self.is_dead(failure):
            count = failure.count
            if self.mailbox.failed.is_dead(entry.item.minor) or self.bury(entry.item.minor):
                if entry.state != DELETING:
                    self.table.drop(entry, NULL)
                return True
            # It leaves the group when it is durable that it is dead.
            entry.counted = count
            self.table.begin_storing(entry, True)
            share = Share(self)
            share.ids.append(entry.item.minor)
            self.work.failures.accumulator.group.defer(share, SHARE_ENTRY_BYTES)
            return True
        if failure is NULL or failure.due_ms <= self.work.catch_up_queue.mailbox_index.expiry_clock_ms:
            return False
        self.table.wait(entry, failure.due_ms)
        self.work.timers.set(self, failure.due_ms)
        return True

    cdef bint is_dead(self, const Failure* failure) except -1:
        """Whether the message has failed as often as it may, or +TERM made it a dead letter."""
        cdef MailboxOptions options = self.mailbox.options
        if self.mailbox.failed.is_dead(failure.msg_id):
            return True
        return options is not None and options.max_deliver > 0 and failure.count >= options.max_deliver

    cdef bint bury(self, uint64_t msg_id) except -1:
        """Make the message a dead letter if it is to be one. False if there is no room now: then it is kept
        as dead."""
        cdef const Failure* failure = self.work.failures.find(self.mailbox, msg_id)
        if failure is NULL or not self.is_dead(failure) or self.mailbox.failed.is_dead(msg_id):
            return True
        self.work.catch_up_queue.pending_work.schedule_end()
        return self.work.bury(self.mailbox, msg_id, failure.count)

    cdef int ring(self, uint64_t now_ms) except -1:
        cdef HeapItem* item = self.table.waiting.first()
        cdef Py_ssize_t left = RUNG_AT_ONCE
        while item is not NULL and item.major <= now_ms and left > 0:
            self.table.return_to_group(<InFlight*>item.owner, NULL)
            item = self.table.waiting.first()
            left -= 1
        if item is not NULL:
            self.work.timers.set(self, max(item.major, now_ms + 1))
        self.group.caught_up = False
        return self.work.catch_up_queue.add(self.group)

    cdef bint is_storing(self) noexcept:
        """Whether failed deliveries are not durable yet: the group stays, even without members."""
        return self.table.unstored.size > 0 or self.table.storing > 0
