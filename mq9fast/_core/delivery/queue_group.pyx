"""A queue group of a mailbox; see queue_group.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.heap cimport HeapItem
from mq9fast._core.delivery.consumer cimport (
    CAUGHT_UP, MORE_TO_GIVE, PUMP_BYTES, WAITING, Envelope, Pumped, Source, address_to, cost_of, seal
)
from mq9fast._core.delivery.in_flight cimport DELETING, HELD, RETURNED, Hold, Holding
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.protocol.address cimport RANKS
from mq9fast._core.pubsub.client cimport Subscription
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport Run, Runs, row_key

from mq9fast._core.storage.record import CorruptRecord


cdef inline Hold* hold_at(HeapItem* item) noexcept:
    return NULL if item is NULL else <Hold*>item.owner


cdef class Member:
    """One queue subscription and what it holds. After its last delivery it stays while it holds anything."""

    def __cinit__(self, Subscription subscription not None, int ranks):
        self.subscription = subscription
        self.ranks = ranks


cdef class Group(Source):
    """The subscriptions to one mailbox that share a queue name."""

    def __cinit__(self, Mailbox mailbox not None, bytes name not None):
        self.mailbox = mailbox
        self.name = name
        self.members = []
        self.holding = Holding()
        self.since = mailbox.next_id

    @property
    def member_count(self) -> int:
        """Subscriptions in it."""
        return len(self.members)

    @property
    def returned_count(self) -> int:
        """Messages that came back and wait for another member."""
        return self.holding.returned_count()

    @property
    def held_count(self) -> int:
        """Messages that members hold."""
        return self.holding.size - self.holding.returned_count()

    cdef Member join(self, Subscription subscription, int ranks):
        cdef Member member = Member(subscription, ranks)
        self.members.append(member)
        self.caught_up = False
        return member

    cdef int leave(self, Member member) except -1:
        """Give what the member holds back to the group; it is to be pumped."""
        self.members.remove(member)
        while member.held.first is not NULL:
            self.holding.take_back(member.held.first, &member.held)
        self.caught_up = False
        return 0

    cdef int let_go(self, Member member) except -1:
        """A member that had its last delivery goes with the last message it held."""
        if member.held.count == 0 and member.subscription.exhausted():
            self.members.remove(member)
            member.subscription.client.retired.pop(member.subscription, None)
        return 0

    cdef Member holder(self, Hold* hold):
        return None if hold.member is NULL else <Member>hold.member

    cdef int give_back(self, Hold* hold) except -1:
        """A member refused the message: it is for whoever is next; the group is to be pumped."""
        cdef Member member = self.holder(hold)
        self.holding.take_back(hold, &member.held)
        self.caught_up = False
        return self.let_go(member)

    cdef int deleting(self, Hold* hold) except -1:
        """The message was deleted, but the turn that says so may still fail: until then nobody gets it."""
        if hold.state == RETURNED:
            self.holding.returned(hold.item.major).remove(&hold.item)
        hold.state = DELETING
        return 0

    cdef int deleted(self, uint64_t msg_id) except -1:
        """The deletion is durable."""
        cdef Hold* hold = self.holding.find(msg_id)
        cdef Member member
        if hold is NULL or hold.state != DELETING:
            return 0
        member = self.holder(hold)
        self.holding.drop(hold, NULL if member is None else &member.held)
        return 0 if member is None else self.let_go(member)

    cdef int not_deleted(self, uint64_t msg_id) except -1:
        """The deletion failed: the message is its member's again, or the group's."""
        cdef Hold* hold = self.holding.find(msg_id)
        if hold is NULL or hold.state != DELETING:
            return 0
        hold.state = HELD
        if hold.member is NULL:
            self.holding.take_back(hold, NULL)
            self.caught_up = False
        return 0

    cdef int restart(self) except -1:
        cdef Member member
        self.holding.clear()
        for member in list(self.members):
            member.held.first = NULL
            member.held.count = 0
            self.let_go(member)
        return Source.restart(self)

    cdef int park(self) except -1:
        cdef Member member
        for member in self.members:
            if not member.subscription.client.writable:
                member.subscription.client.parked[self] = None
        return 0

    cdef bint takes(self, int rank):
        """Whether any member takes messages of the rank."""
        cdef Member member
        for member in self.members:
            if (member.ranks >> rank) & 1 and not member.subscription.exhausted():
                return True
        return False

    cdef Member choose(self, int rank):
        """The next member, in turn, that takes the rank and has room; None if there is none now."""
        cdef Py_ssize_t count = len(self.members)
        cdef Py_ssize_t i, at
        cdef Member member
        for i in range(count):
            at = (self.turn + i) % count
            member = <Member>self.members[at]
            if (
                (member.ranks >> rank) & 1 and not member.subscription.exhausted()
                and self.room_in(member.subscription.client)
            ):
                self.turn = at + 1
                return member
        return None

    cdef Pumped blocked(self, int rank):
        """Why `choose` found none: sockets are full, or only this turn's share of them is, or nobody takes
        the rank and its messages wait for one who does."""
        cdef Member member
        cdef Pumped why = CAUGHT_UP
        for member in self.members:
            if (member.ranks >> rank) & 1 and not member.subscription.exhausted():
                if member.subscription.client.writable and not member.subscription.client.doomed:
                    return MORE_TO_GIVE
                why = WAITING
        return why

    cdef int give(self, Member member, Hold* hold, Envelope* envelope) except -1:
        self.holding.give(hold, <void*>member, &member.held)
        return member.subscription.send(envelope.subject, envelope.reply, envelope.header, envelope.payload)

    cdef int give_first(self, Member member, Envelope* envelope) except -1:
        """Give a message that the group was not given before."""
        cdef uint64_t size = <uint64_t>(envelope.header.size + envelope.payload.size)
        cdef Hold* hold = self.holding.add(envelope.rank, envelope.msg_id, size, envelope.spot)
        self.place[envelope.rank] = envelope.msg_id + 1
        return self.give(member, hold, envelope)

    cdef int offer(self, Envelope* envelope) except -1:
        cdef Member member
        if not self.caught_up:
            return 0
        member = self.choose(envelope.rank)
        if member is None:
            self.caught_up = self.blocked(envelope.rank) == CAUGHT_UP
            return 0
        return self.give_first(member, envelope)

    cdef Pumped pump(self, object store) except *:
        """A rank whose takers are all blocked does not hold up members that take only others."""
        cdef Py_ssize_t budget = PUMP_BYTES
        cdef Pumped outcome
        cdef Pumped worst = CAUGHT_UP
        cdef int rank
        for rank in range(RANKS):
            if not self.takes(rank):
                continue
            outcome = self.give_returned(store, rank, &budget)
            if outcome == CAUGHT_UP:
                outcome = self.give_new(store, rank, &budget)
            if outcome == MORE_TO_GIVE:
                return MORE_TO_GIVE
            if outcome == WAITING:
                worst = WAITING
        return self.finish_pump() if worst == CAUGHT_UP else worst

    cdef bint wants(self, int rank):
        cdef Member member
        for member in self.members:
            if (
                (member.ranks >> rank) & 1 and not member.subscription.exhausted()
                and self.room_in(member.subscription.client)
            ):
                return True
        return False

    cdef Pumped give_returned(self, object store, int rank, Py_ssize_t* budget) except *:
        """Give out what came back, oldest first; it is older than anything new of its rank."""
        cdef Envelope envelope
        cdef Hold* hold
        cdef Member member
        cdef StoredMessage message
        cdef Run run = Run()
        address_to(&envelope, self.mailbox, rank)
        while True:
            hold = hold_at(self.holding.returned(<uint64_t>rank).first())
            if hold is NULL:
                return CAUGHT_UP
            if budget[0] <= 0:
                return MORE_TO_GIVE
            member = self.choose(rank)
            if member is None:
                return self.blocked(rank)
            if not self.open_row(run, hold, store):
                self.holding.drop(hold, NULL)
                continue
            run.read(hold.spot.index, &message)
            seal(&envelope, hold.item.minor, &message, hold.spot)
            self.give(member, hold, &envelope)
            budget[0] -= cost_of(&envelope)

    cdef bint open_row(self, Run run, const Hold* hold, object store) except -1:
        """Open the row of a message, unless it is open; false if it is not there."""
        cdef uint64_t uid = self.mailbox.uid
        cdef int rank = <int>hold.item.major
        cdef bint alone = hold.spot.count == 1
        cdef bytes value
        if run.count == hold.spot.count and run.row_id == hold.spot.row_id:
            return True
        value = store.get(row_key(uid, rank, &hold.spot))
        if value is None:
            return False
        run.open(hold.spot.row_id, alone, value)
        if run.count != hold.spot.count:
            raise CorruptRecord(f"a run of {hold.spot.count} messages has {run.count}")
        return True

    cdef Pumped give_new(self, object store, int rank, Py_ssize_t* budget) except *:
        """Give out what the group was not given yet."""
        cdef Envelope envelope
        cdef Member member
        cdef Runs runs = self.scan(store, rank)
        if runs is None:
            return CAUGHT_UP
        address_to(&envelope, self.mailbox, rank)
        while runs.next_message():
            if budget[0] <= 0:
                return MORE_TO_GIVE
            member = self.choose(rank)
            if member is None:
                return self.blocked(rank)
            seal(&envelope, runs.msg_id, &runs.message, runs.run.spot(runs.index))
            self.give_first(member, &envelope)
            budget[0] -= cost_of(&envelope)
        self.place[rank] = self.mailbox.durable_id
        return CAUGHT_UP
