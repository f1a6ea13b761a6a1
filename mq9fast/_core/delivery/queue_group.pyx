"""A queue group of a mailbox; the contract is in queue_group.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.heap cimport Heap, HeapItem
from mq9fast._core.base.view cimport View, view_of
from mq9fast._core.delivery.consumer cimport (
    CAUGHT_UP, LOADED_AT_ONCE, MORE_TO_GIVE, NO_RECEIVER, CatchUpResult, DeliveryFrame, begin_frame,
    catch_up_bytes, fill_frame
)
from mq9fast._core.delivery.given_back cimport with_deliveries
from mq9fast._core.delivery.group_members cimport GroupMembers
from mq9fast._core.delivery.in_flight cimport InFlight
from mq9fast._core.delivery.member cimport Member
from mq9fast._core.delivery.token cimport put_token
from mq9fast._core.mailbox.failed_deliveries cimport Failure
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatch, RecordBatchReader, row_key

from mq9fast._core.storage.record import CorruptRecord


cdef enum:
    EXAMINED_FOR_SUSPECTS = 64  # returned messages that one look for such a member examines


cdef inline InFlight* entry_at(HeapItem* item) noexcept:
    return NULL if item is NULL else <InFlight*>item.owner


cdef class QueueGroup(GroupMembers):
    """The subscriptions to one mailbox with the same queue name."""

    cdef int give(self, Member member, InFlight* entry, DeliveryFrame* frame) except -1:
        cdef const Failure* failure
        cdef bytes header
        cdef View reply = frame.reply
        self.in_flight.give(
            entry, <void*>member, &member.in_flight, self.work.catch_up_queue.mailbox_index.now_ms
        )
        if self.ack_wait_ms:
            self.watch(member)
            self.deliveries += 1
            entry.delivery = self.deliveries
            reply.size = put_token(<char*>reply.data + reply.size, self.number, self.deliveries) - reply.data
        else:
            entry.delivery = 0
        if not self.has_room(member):
            self.free.remove(member)
        failure = NULL
        if self.mailbox.failed is not None:
            failure = self.mailbox.failed.find(frame.msg_id)
        if failure is not NULL:
            header = with_deliveries(frame.header, failure.count + 1)
            frame.header = view_of(header)
        return member.subscription.send_lending(frame.subject, reply, frame.header, frame.payload)

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
        if failure is NULL:
            return False
        if failure.due_ms <= self.work.catch_up_queue.mailbox_index.expiry_clock_ms:
            if not self.back().is_dead(failure):
                return False
        self.cursor[frame.rank] = frame.msg_id + 1
        return self.back().must_wait(self.add_entry(frame))

    cdef InFlight* add_entry(self, const DeliveryFrame* frame) except NULL:
        cdef uint64_t size = <uint64_t>(frame.header.size + frame.payload.size)
        cdef InFlight* entry = self.in_flight.add(frame.rank, frame.msg_id, size, frame.location)
        entry.flags = frame.flags
        return entry

    cdef int offer(self, DeliveryFrame* frame) except -1:
        cdef Member member
        if not self.caught_up:
            return 0
        if self.in_flight.returning[frame.rank]:
            self.caught_up = False
            return 0
        member = self.choose(frame.rank, frame.msg_id)
        if member is None:
            self.caught_up = self.blocked_reason(frame.rank) == CAUGHT_UP
            return 0
        return self.give_new_message(member, frame)

    cdef CatchUpResult catch_up(self, object store) except *:
        """A rank whose members take nothing more now does not stop the other ranks."""
        cdef Py_ssize_t budget = catch_up_bytes(self.work.catch_up_queue.pending_work)
        cdef CatchUpResult outcome
        cdef CatchUpResult worst = CAUGHT_UP
        cdef int rank
        cdef bint passed
        if self.mailbox.has_failure_rows and not self.work.failures.load(self.mailbox, LOADED_AT_ONCE):
            return MORE_TO_GIVE
        for rank in range(RANKS):
            if self.takers[rank] == 0:
                continue
            if self.free.first is None and not self.suspects:
                return NO_RECEIVER
            outcome = self.read_returned_messages(store, rank, &budget)
            # Members that let the returned messages time out may be given new ones.
            passed = outcome == NO_RECEIVER and self.has_only_suspects(rank)
            if outcome == CAUGHT_UP and self.in_flight.returning[rank]:
                # Older messages come back as soon as they are stored.
                outcome = NO_RECEIVER
            elif outcome == CAUGHT_UP or passed:
                outcome = self.read_new_messages(store, rank, &budget)
                if passed and outcome == CAUGHT_UP:
                    outcome = NO_RECEIVER
            if outcome == MORE_TO_GIVE:
                return MORE_TO_GIVE
            if outcome == NO_RECEIVER:
                worst = NO_RECEIVER
        return self.finish_catch_up() if worst == CAUGHT_UP else worst

    cdef bint wants(self, int rank):
        # A member that let other messages time out may take this one.
        return self.free.find(rank) is not None or len(self.suspects) > 0

    cdef bint has_only_suspects(self, int rank):
        """Whether only members that let messages time out could take messages of the rank now."""
        return len(self.suspects) > 0 and self.free.blocked_reason(rank) == CAUGHT_UP

    cdef InFlight* first_for_suspects(self, int rank) except? NULL:
        """The oldest of some returned messages that such a member may be given; NULL if there is none."""
        cdef Heap returned = self.in_flight.returned(<uint64_t>rank)
        cdef InFlight* entry
        cdef InFlight* oldest = NULL
        cdef Py_ssize_t i
        for i in range(min(returned.size, <Py_ssize_t>EXAMINED_FOR_SUSPECTS)):
            entry = entry_at(returned.items[i])
            if oldest is NULL or entry.item.minor < oldest.item.minor:
                if self.choose(rank, entry.item.minor) is not None:
                    oldest = entry
        return oldest

    cdef CatchUpResult read_returned_messages(self, object store, int rank, Py_ssize_t* budget) except *:
        """Give out returned messages, oldest first. They are older than any new one of the rank."""
        cdef InFlight* other
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
            if self.has_only_suspects(rank):
                other = self.first_for_suspects(rank)
                if other is not NULL:
                    entry = other
            if self.is_replaced(entry.item.minor):
                self.in_flight.drop(entry, NULL)
                continue
            if self.mailbox.failed is not None and self.back().must_wait(entry):
                continue
            member = self.choose(rank, entry.item.minor)
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
            budget[0] -= self.share_of(&frame)

    cdef Py_ssize_t share_of_large(self, Py_ssize_t cost) noexcept:
        cdef Py_ssize_t shares = min(<Py_ssize_t>len(self.members), <Py_ssize_t>MAX_SHARES)
        return max(cost // max(shares, 1), <Py_ssize_t>SMALL_BYTES)

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
            if self.is_replaced(reader.msg_id):
                continue
            fill_frame(&frame, reader.msg_id, &reader.message, reader.batch.location(reader.index))
            if self.mailbox.failed is not None and self.must_wait(&frame):
                continue
            member = self.choose(rank, frame.msg_id)
            if member is None:
                return self.blocked_reason(rank)
            self.give_new_message(member, &frame)
            budget[0] -= self.share_of(&frame)
        check(self.cursor[rank] <= self.mailbox.durable_id, b"a cursor goes back at a restart only")
        self.cursor[rank] = self.mailbox.durable_id
        return CAUGHT_UP
