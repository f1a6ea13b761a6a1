"""A queue group of a mailbox; the contract is in queue_group.pxd."""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.base.view cimport view_of
from mq9fast._core.delivery.consumer cimport (
    CATCH_UP_BYTES, CAUGHT_UP, MORE_TO_GIVE, NO_RECEIVER, CatchUpResult, Consumer, DeliveryFrame,
    begin_frame, cost_of, fill_frame
)
from mq9fast._core.delivery.given_back cimport GivenBack, GroupWork, with_deliveries
from mq9fast._core.delivery.in_flight cimport DELETING, HELD, InFlight, InFlightTable
from mq9fast._core.delivery.member cimport Member, MemberRing
from mq9fast._core.mailbox.failed_deliveries cimport Failure
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.options cimport MailboxOptions
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.pubsub.client cimport Subscription
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatch, RecordBatchReader, row_key

from mq9fast._core.storage.record import CorruptRecord


cdef enum:
    LOADED_AT_ONCE = 1024      # rows of failed deliveries that one turn loads for a group


cdef inline InFlight* entry_at(HeapItem* item) noexcept:
    return NULL if item is NULL else <InFlight*>item.owner


cdef void check_counts(QueueGroup group) noexcept:
    """The other entries of the table are being deleted, and their members have left."""
    cdef Member member
    cdef Py_ssize_t known = group.in_flight.returned_count()
    for member in group.members:
        known += member.in_flight.count
    check(known <= group.in_flight.size, b"what members have in flight is in their group's table")
    check(0 <= group.deleting <= group.in_flight.size, b"messages that are being deleted are in the table")


cdef void check_left(QueueGroup group, Member left) noexcept:
    cdef Py_ssize_t i
    cdef const InFlight* entry
    for i in range(group.in_flight.capacity):
        entry = group.in_flight.buckets[i]
        while entry is not NULL:
            check(entry.member != <void*>left, b"no entry names a member that left")
            entry = entry.chain


cdef class QueueGroup(Consumer):
    """The subscriptions to one mailbox with the same queue name."""

    def __cinit__(self, Mailbox mailbox not None, bytes name not None, GroupWork work not None):
        self.mailbox = mailbox
        self.name = name
        self.work = work
        self.members = []
        self.free = MemberRing()
        self.in_flight = InFlightTable()
        self.live_from_id = mailbox.next_id
        self.read_options()

    @property
    def member_count(self) -> int:
        """Its subscriptions."""
        return len(self.members)

    @property
    def returned_count(self) -> int:
        """Messages that were returned and wait for another member."""
        return self.in_flight.returned_count()

    @property
    def in_flight_count(self) -> int:
        """Messages that are given out or being deleted. Returned ones do not count."""
        return self.in_flight.size - self.in_flight.returned_count()

    @property
    def unanswered_count(self) -> int:
        """Messages that are given out and not answered."""
        return self.in_flight.size - self.in_flight.returned_count() - self.deleting

    @property
    def waiting_count(self) -> int:
        """Messages of the mailbox that are not given to a member, or were given back."""
        cdef uint64_t total = self.mailbox.placed()
        return total - min(total, <uint64_t>self.unanswered_count)

    cdef Member join(self, Subscription subscription, int ranks):
        cdef Member member = Member(subscription, ranks)
        cdef int rank
        self.members.append(member)
        self.free.add(member)
        for rank in range(RANKS):
            self.takers[rank] += (ranks >> rank) & 1
        self.caught_up = False
        return member

    cdef int leave(self, Member member, bint failed) except -1:
        """Return the member's messages to the group. The caller queues the group to catch up.

        `failed`: the deliveries of those that it holds have failed, so they are stored first.
        """
        cdef InFlight* entry
        self.finish(member)
        self.members.remove(member)
        while member.in_flight.first is not NULL:
            entry = member.in_flight.first
            if failed and entry.state == HELD:
                self.in_flight.fail(entry, &member.in_flight)
                self.back().queue()
            else:
                self.in_flight.return_to_group(entry, &member.in_flight)
        if CHECKED:
            check_left(self, member)
            check_counts(self)
        self.caught_up = False
        return 0

    cdef int finish(self, Member member) except -1:
        """Give the member nothing more. It keeps what it has in flight."""
        cdef int rank
        if not member.finished:
            member.finished = True
            self.free.remove(member)
            for rank in range(RANKS):
                self.takers[rank] -= (member.ranks >> rank) & 1
        return 0

    cdef bint is_needed(self) noexcept:
        """Whether it has members, or failed deliveries that are not stored yet."""
        return len(self.members) > 0 or (self.given_back is not None and self.given_back.is_storing())

    cdef int drop(self) except -1:
        """The group is forgotten, or starts again."""
        if self.given_back is not None:
            self.work.timers.cancel(self.given_back)
        return 0

    cdef bint has_room(self, Member member) noexcept:
        """Whether the member may hold another message."""
        if member.finished:
            return False
        return self.max_in_flight == 0 or member.in_flight.unanswered < self.max_in_flight

    cdef int holds_less(self, Member member) except -1:
        """A message left the member, or was answered: it may be given another one."""
        if member.next_free is not None or not self.has_room(member):
            return 0
        self.free.add(member)
        return 0 if self.caught_up else self.work.catch_up_queue.add(self)

    cdef int read_options(self) except -1:
        """Follow the options of the mailbox."""
        cdef Member member
        cdef MailboxOptions options = self.mailbox.options
        self.max_in_flight = 0 if options is None else options.max_in_flight
        for member in self.members:
            if self.has_room(member):
                self.holds_less(member)
            else:
                self.free.remove(member)
        return 0

    cdef int remove_if_finished(self, Member member) except -1:
        """Remove a member that reached its maximum and has nothing in flight any more."""
        if member.in_flight.count == 0 and member.subscription.max_reached():
            self.finish(member)
            self.members.remove(member)
            if CHECKED:
                check_left(self, member)
                check_counts(self)
            member.subscription.client.awaiting_answers.pop(member.subscription, None)
        return 0

    cdef Member member_of(self, InFlight* entry):
        if CHECKED and entry.member is not NULL:
            check(isinstance(<object>entry.member, Member), b"an entry names a member that lives")
        return None if entry.member is NULL else <Member>entry.member

    cdef GivenBack back(self):
        if self.given_back is None:
            self.given_back = GivenBack(self.work, self, self.in_flight)
        return self.given_back

    cdef int refuse(self, InFlight* entry, int64_t delay_ms) except -1:
        """The member that holds the message gives it back. Raises what the store raises."""
        cdef Member member = self.member_of(entry)
        self.in_flight.fail(entry, &member.in_flight)
        self.back().store_one(entry, delay_ms)
        self.holds_less(member)
        return self.remove_if_finished(member)

    cdef int begin_deletion(self, InFlight* entry) except -1:
        """The message was deleted, but the commit group may fail: until it is durable no member gets it."""
        cdef Member member = self.member_of(entry)
        self.in_flight.begin_deletion(entry, NULL if member is None else &member.in_flight)
        self.deleting += 1
        return 0 if member is None else self.holds_less(member)

    cdef int deletion_durable(self, uint64_t msg_id) except -1:
        """The deletion is durable: drop the entry."""
        cdef InFlight* entry = self.in_flight.find(msg_id)
        cdef Member member
        if entry is NULL or entry.state != DELETING:
            return 0
        member = self.member_of(entry)
        self.deleting -= 1
        self.in_flight.drop(entry, NULL if member is None else &member.in_flight)
        return 0 if member is None else self.remove_if_finished(member)

    cdef int deletion_failed(self, uint64_t msg_id) except -1:
        """The deletion failed: the message is in flight at its member again, or returned if that one left."""
        cdef InFlight* entry = self.in_flight.find(msg_id)
        cdef Member member
        if entry is NULL or entry.state != DELETING:
            return 0
        self.deleting -= 1
        member = self.member_of(entry)
        if member is None:
            entry.state = HELD
            self.in_flight.return_to_group(entry, NULL)
            self.caught_up = False
            return 0
        self.in_flight.deletion_failed(entry, &member.in_flight)
        if not self.has_room(member):
            self.free.remove(member)
        return 0

    cdef int restart(self) except -1:
        cdef Member member
        self.in_flight.clear()
        self.deleting = 0
        self.drop()
        for member in list(self.members):
            member.in_flight.first = NULL
            member.in_flight.count = 0
            member.in_flight.unanswered = 0
            self.remove_if_finished(member)
        self.read_options()
        return Consumer.restart(self)

    cdef int park(self) except -1:
        return self.free.park(self)

    cdef CatchUpResult blocked_reason(self, int rank):
        """Why the ring has no member for the rank. NO_RECEIVER: full sockets, or all members hold as much as
        they may; MORE_TO_GIVE: clients have too much unwritten output in this turn; CAUGHT_UP: no member
        subscribed to the rank, and its messages wait for one that does."""
        cdef CatchUpResult why = self.free.blocked_reason(rank)
        return NO_RECEIVER if why == CAUGHT_UP and self.takers[rank] else why

    cdef int give(self, Member member, InFlight* entry, DeliveryFrame* frame) except -1:
        cdef const Failure* failure
        cdef bytes header
        self.in_flight.give(entry, <void*>member, &member.in_flight)
        if not self.has_room(member):
            self.free.remove(member)
        failure = self.work.failures.find(self.mailbox, frame.msg_id)
        if failure is not NULL:
            header = with_deliveries(frame.header, failure.count + 1)
            frame.header = view_of(header)
        return member.subscription.send(frame.subject, frame.reply, frame.header, frame.payload)

    cdef int give_new_message(self, Member member, DeliveryFrame* frame) except -1:
        """Give out a new message."""
        cdef InFlight* entry = self.add_entry(frame)
        check(self.cursor[frame.rank] <= frame.msg_id, b"a group is given each message once, in order")
        check(frame.msg_id < self.mailbox.durable_id, b"only durable messages are delivered")
        self.cursor[frame.rank] = frame.msg_id + 1
        return self.give(member, entry, frame)

    cdef bint must_wait(self, DeliveryFrame* frame) except -1:
        """Whether no member may get a new message yet, because its delivery failed in another group, or under
        an earlier broker. Then it waits for its time."""
        cdef const Failure* failure = self.work.failures.find(self.mailbox, frame.msg_id)
        if failure is NULL or failure.due_ms <= self.work.catch_up_queue.mailbox_index.expiry_clock_ms:
            return False
        self.cursor[frame.rank] = frame.msg_id + 1
        return self.back().must_wait(self.add_entry(frame))

    cdef InFlight* add_entry(self, const DeliveryFrame* frame) except NULL:
        cdef uint64_t size = <uint64_t>(frame.header.size + frame.payload.size)
        return self.in_flight.add(frame.rank, frame.msg_id, size, frame.location)

    cdef int offer(self, DeliveryFrame* frame) except -1:
        cdef Member member
        if not self.caught_up:
            return 0
        if self.in_flight.returning[frame.rank]:
            self.caught_up = False
            return 0
        member = self.free.choose(frame.rank)
        if member is None:
            self.caught_up = self.blocked_reason(frame.rank) == CAUGHT_UP
            return 0
        return self.give_new_message(member, frame)

    cdef CatchUpResult catch_up(self, object store) except *:
        """A rank whose members take nothing more now does not stop the other ranks."""
        cdef Py_ssize_t budget = CATCH_UP_BYTES
        cdef CatchUpResult outcome
        cdef CatchUpResult worst = CAUGHT_UP
        cdef int rank
        if self.mailbox.has_failure_rows and not self.work.failures.load(self.mailbox, LOADED_AT_ONCE):
            return MORE_TO_GIVE
        for rank in range(RANKS):
            if self.takers[rank] == 0:
                continue
            if self.free.first is None:
                return NO_RECEIVER
            outcome = self.read_returned_messages(store, rank, &budget)
            if outcome == CAUGHT_UP and self.in_flight.returning[rank]:
                # Older messages come back as soon as they are stored.
                outcome = NO_RECEIVER
            elif outcome == CAUGHT_UP:
                outcome = self.read_new_messages(store, rank, &budget)
            if outcome == MORE_TO_GIVE:
                return MORE_TO_GIVE
            if outcome == NO_RECEIVER:
                worst = NO_RECEIVER
        return self.finish_catch_up() if worst == CAUGHT_UP else worst

    cdef bint wants(self, int rank):
        return self.free.find(rank) is not None

    cdef CatchUpResult read_returned_messages(self, object store, int rank, Py_ssize_t* budget) except *:
        """Give out returned messages, oldest first. They are older than any new one of the rank."""
        cdef DeliveryFrame frame
        cdef InFlight* entry
        cdef Member member
        cdef StoredMessage message
        cdef RecordBatch batch = RecordBatch()
        begin_frame(&frame, self.mailbox, rank)
        while True:
            entry = entry_at(self.in_flight.returned(<uint64_t>rank).first())
            if entry is NULL:
                return CAUGHT_UP
            if budget[0] <= 0:
                return MORE_TO_GIVE
            if self.mailbox.failed is not None and self.back().must_wait(entry):
                continue
            member = self.free.choose(rank)
            if member is None:
                return self.blocked_reason(rank)
            if not self.open_row(batch, entry, store):
                self.in_flight.drop(entry, NULL)
                continue
            batch.read(entry.location.index, &message)
            if self.mailbox.times is not None and self.mailbox.times.has_expired(&message):
                self.in_flight.drop(entry, NULL)
                continue
            fill_frame(&frame, entry.item.minor, &message, entry.location)
            self.give(member, entry, &frame)
            budget[0] -= cost_of(&frame)

    cdef bint open_row(self, RecordBatch batch, const InFlight* entry, object store) except -1:
        """Open the row of a message, unless it is open. Returns false if the row does not exist."""
        cdef uint64_t uid = self.mailbox.uid
        cdef int rank = entry.rank
        cdef bint is_single = entry.location.count == 1
        cdef bytes value
        if batch.count == entry.location.count and batch.row_id == entry.location.row_id:
            return True
        value = store.get(row_key(uid, rank, &entry.location))
        if value is None:
            return False
        batch.open(entry.location.row_id, is_single, value)
        if batch.count != entry.location.count:
            raise CorruptRecord(f"a record batch of {entry.location.count} messages has {batch.count}")
        return True

    cdef CatchUpResult read_new_messages(self, object store, int rank, Py_ssize_t* budget) except *:
        """Give out new messages from the store."""
        cdef DeliveryFrame frame
        cdef Member member
        cdef RecordBatchReader reader = self.scan(store, rank)
        if reader is None:
            return CAUGHT_UP
        begin_frame(&frame, self.mailbox, rank)
        while reader.next_message():
            if budget[0] <= 0:
                return MORE_TO_GIVE
            fill_frame(&frame, reader.msg_id, &reader.message, reader.batch.location(reader.index))
            if self.mailbox.failed is not None and self.must_wait(&frame):
                continue
            member = self.free.choose(rank)
            if member is None:
                return self.blocked_reason(rank)
            self.give_new_message(member, &frame)
            budget[0] -= cost_of(&frame)
        check(self.cursor[rank] <= self.mailbox.durable_id, b"a cursor goes back at a restart only")
        self.cursor[rank] = self.mailbox.durable_id
        return CAUGHT_UP
