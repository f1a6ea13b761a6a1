"""What leaves the broker for mailboxes; see delivery.pxd."""

from collections import deque

from libc.stdint cimport uint64_t

from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.view cimport View, put, put_byte, put_decimal, view, view_of
from mq9fast._core.commit.batch_puts cimport Message
from mq9fast._core.commit.commit_group cimport ACK_BODY, ACK_DELETED, ACK_MSG_ID, Ack, Fresh, Gone, Mark, Turn
from mq9fast._core.delivery.consumer cimport (
    IDLE, MORE_TO_GIVE, PARKED, QUEUED, WAITING, Envelope, Pumped, Reader, Source, address_to, seal
)
from mq9fast._core.delivery.queue_group cimport Group, Member
from mq9fast._core.mailbox.mailbox cimport Directory, Mailbox
from mq9fast._core.protocol.address cimport RANKS
from mq9fast._core.pubsub.client cimport Agenda, Client, Subscription
from mq9fast._core.pubsub.router cimport Router
from mq9fast._core.storage.record cimport StoredMessage, unpack_message

cdef bytes DELETED = b'{"deleted":true}'
cdef bytes NOT_DELETED = b'{"deleted":false}'


cdef class MailboxSubscription(Subscription):
    """A SUB to a mailbox."""


cdef class Delivery:
    """Moves every source's place in its mailbox on."""

    def __cinit__(self, Directory directory not None, Router router not None, Agenda agenda not None):
        self.directory = directory
        self.router = router
        self.agenda = agenda
        self.waiting = deque()
        self.unreadable = {}

    cdef MailboxSubscription attach(
        self, Client client, bytes sid, bytes subject, bytes queue, View address, int ranks
    ):
        """Subscribe to a mailbox, living or not. One past its deadline is like one that is gone."""
        cdef MailboxSubscription subscription = MailboxSubscription(client, sid, subject, queue)
        cdef Mailbox mailbox = self.directory.look_up_or_make(address)
        cdef Group group
        subscription.mailbox = mailbox
        if mailbox.sources is None:
            mailbox.sources = {}
        if queue is None:
            subscription.reader = Reader(mailbox, subscription, ranks)
            mailbox.sources[subscription.reader] = None
            self.wait_for_pump(subscription.reader)
            return subscription
        if mailbox.groups is None:
            mailbox.groups = {}
        group = mailbox.groups.get(queue)
        if group is None:
            group = Group(mailbox, queue)
            mailbox.groups[queue] = group
            mailbox.sources[group] = None
        subscription.group = group
        subscription.member = group.join(subscription, ranks)
        self.wait_for_pump(group)
        return subscription

    cdef int detach(self, MailboxSubscription subscription) except -1:
        """The subscription ends: what it holds of a group goes back."""
        if subscription.reader is not None:
            self.drop_source(subscription.mailbox, subscription.reader)
        elif subscription.group is not None and subscription.member in subscription.group.members:
            self.leave_group(subscription.group, subscription.member)
        subscription.reader = None
        subscription.group = None
        subscription.member = None
        return 0

    cdef int retire(self, MailboxSubscription subscription) except -1:
        """The subscription had its last delivery. A group's member stays until what it holds is answered, or
        its connection ends: giving that back now would have two members work on it."""
        if subscription.member is None or subscription.member.held.count == 0:
            return self.detach(subscription)
        subscription.client.retired[subscription] = None
        return 0

    cdef int leave_group(self, Group group, Member member) except -1:
        group.leave(member)
        return self.read_or_forget(group)

    cdef int read_or_forget(self, Group group) except -1:
        """A group got something back, or lost a member: it is to be pumped, or, when empty, forgotten."""
        if group.members:
            return self.wait_for_pump(group)
        del group.mailbox.groups[group.name]
        return self.drop_source(group.mailbox, group)

    cdef int drop_source(self, Mailbox mailbox, Source source) except -1:
        del mailbox.sources[source]
        self.unreadable.pop(source, None)
        source.state = IDLE
        return self.directory.forget_if_unused(mailbox)

    cdef int wait_for_pump(self, Source source) except -1:
        """Have the end of the turn read on from the store for the source, if it may see its mailbox."""
        if source.state != QUEUED and self.directory.sees(source.mailbox):
            source.state = QUEUED
            self.waiting.append(source)
            self.agenda.call()
        return 0

    cdef int mark_durable(self, Turn turn) except -1:
        """Note how far mailboxes are durable; who waited for that is to be pumped."""
        cdef Py_ssize_t i
        cdef Mark* mark
        cdef Mailbox mailbox
        cdef Source source
        for i in range(turn.mark_count):
            mark = &turn.marks[i]
            mailbox = <Mailbox>mark.mailbox
            if mailbox.uid != mark.uid or not mailbox.live:
                continue
            mailbox.durable_id = max(mailbox.durable_id, mark.next_id)
            if mailbox.sources:
                for source in mailbox.sources:
                    if not source.caught_up and source.state == IDLE:
                        self.wait_for_pump(source)
        return 0

    cdef int answer(self, const Ack* ack, View reply) except -1:
        cdef char text[40]
        cdef char* at = text
        if ack.kind == ACK_MSG_ID:
            at = put_byte(put_decimal(put(at, view(b'{"msg_id":', 10)), ack.number), c'}')
            return self.router.answer(reply, view(text, at - text))
        if ack.kind == ACK_BODY:
            return self.router.answer(reply, view_of(<bytes>ack.body))
        return self.router.answer(reply, view_of(DELETED if ack.kind == ACK_DELETED else NOT_DELETED))

    cdef int push(self, Turn turn, int rank, uint64_t end_ns) except -1:
        """Offer the turn's messages of one rank to those who read along. Once it is `end_ns` they fall behind
        instead, and are pumped."""
        cdef Py_ssize_t i
        cdef Py_ssize_t offers = 0
        cdef bint spent = monotonic_ns() >= end_ns
        cdef Fresh* fresh
        cdef Mailbox mailbox
        cdef Source source
        cdef Envelope envelope
        cdef const Message* message
        cdef StoredMessage stored
        for i in range(turn.fresh_count):
            fresh = &turn.fresh[i]
            if fresh.rank != rank or turn.retracted and (fresh.uid, fresh.msg_id) in turn.retracted:
                continue
            mailbox = <Mailbox>fresh.mailbox
            if not mailbox.sources or mailbox.uid != fresh.uid or not self.directory.sees(mailbox):
                continue
            message = &turn.gathered.messages[fresh.message]
            unpack_message(turn.gathered.stored(message), &stored)
            address_to(&envelope, mailbox, rank)
            seal(&envelope, fresh.msg_id, &stored, message.spot)
            for source in mailbox.sources:
                if spent:
                    source.caught_up = False
                else:
                    source.offer(&envelope)
                    offers += 1
                    if offers % OFFERS_TO_LOOK == 0:
                        spent = monotonic_ns() >= end_ns
                if not source.caught_up and (
                    source.state == IDLE or source.state == PARKED and source.wants(rank)
                ):
                    self.wait_for_pump(source)
        return 0

    cdef int settle(self, Turn turn, Py_ssize_t first, bint durable) except -1:
        """Tell queue groups what became of the turn's deletions from the `first` on."""
        cdef Py_ssize_t i
        cdef Gone* gone
        cdef Mailbox mailbox
        cdef Group group
        cdef bint loose
        for i in range(first, turn.gone_count):
            gone = &turn.gone[i]
            mailbox = <Mailbox>gone.mailbox
            if not mailbox.groups or mailbox.uid != gone.uid:
                continue
            loose = False
            for group in mailbox.groups.values():
                if durable:
                    group.deleted(gone.msg_id)
                else:
                    group.not_deleted(gone.msg_id)
                loose = loose or not durable or not group.members
            if loose:
                for group in list(mailbox.groups.values()):
                    if not durable or not group.members:
                        self.read_or_forget(group)
        return 0

    def release(self, Turn turn not None) -> None:
        """The turn is durable: answer, then push, the most urgent first."""
        cdef Py_ssize_t i
        cdef int rank
        cdef uint64_t end_ns = monotonic_ns() + self.agenda.turn_ns
        self.mark_durable(turn)
        self.settle(turn, 0, True)
        for call in turn.deferred:
            call(True)
        for i in range(turn.ack_count):
            self.answer(&turn.acks[i], turn.reply_of(&turn.acks[i]))
        for rank in range(RANKS):
            if (turn.fresh_ranks >> rank) & 1:
                self.push(turn, rank, end_ns)

    def fail(self, Turn turn not None, bytes error not None, bint stored) -> None:
        """The turn's last batch failed: who waits for that gets `error`, and it is forgotten. The turn goes
        on with what was written before, if anything. `stored`: what it deleted is gone all the same."""
        cdef Py_ssize_t i
        self.settle(turn, turn.written_gone, stored)
        for i in range(turn.written_acks, turn.ack_count):
            self.router.answer(turn.reply_of(&turn.acks[i]), view_of(error))
        for call in turn.cut():
            call(False)

    cdef int pump_one(self, Source source, store) except -1:
        cdef Pumped outcome = source.pump(store)
        if outcome == MORE_TO_GIVE:
            self.wait_for_pump(source)
        elif outcome == WAITING:
            source.state = PARKED
            source.park()
        return 0

    def pump(self, store) -> None:
        """Read on from the store for sources that fell behind, a share each, for as long as a turn has for
        it. Those it does not come to are the first of the next turn.

        What cannot be read is raised once the others had their share, and waits for `read_again`.
        """
        cdef Source source
        cdef Py_ssize_t left = len(self.waiting)
        # Writing what is read takes about as long again.
        cdef uint64_t end_ns = monotonic_ns() + self.agenda.turn_ns // 2
        failure = None
        while left:
            left -= 1
            source = self.waiting.popleft()
            if source.state != QUEUED:
                continue
            source.state = IDLE
            if source.caught_up or not self.directory.sees(source.mailbox):
                continue
            try:
                self.pump_one(source, store)
            except Exception as error:
                failure = error
                source.state = QUEUED
                self.unreadable[source] = error
            if monotonic_ns() + <uint64_t>self.agenda.dirty_count * WRITE_NS >= end_ns:
                break
        if self.waiting:
            self.agenda.call()
        if failure is not None:
            raise failure

    def read_again(self):
        """Have the next `pump` go on with what could not be read; returns why one could not, or None."""
        cdef Source source
        unreadable, self.unreadable = self.unreadable, {}
        for source in unreadable:
            source.state = IDLE
            self.wait_for_pump(source)
        return next(iter(unreadable.values()), None)

    @property
    def has_waiting(self) -> bool:
        """Whether `pump` has anything to do."""
        return len(self.waiting) > 0

    def writable_again(self, Client client not None) -> None:
        """The client's socket drained: what waited for it goes on."""
        cdef Source source
        client.writable = True
        client.fed = False
        if client.out.size and not client.dirty:
            client.touch()
        parked, client.parked = client.parked, {}
        for source in parked:
            if source.state == PARKED:
                source.state = IDLE
                self.wait_for_pump(source)

    def restart(self, Mailbox mailbox not None) -> None:
        """The mailbox began or ended a life: whoever reads it starts over."""
        cdef Source source
        if mailbox.sources:
            for source in list(mailbox.sources):
                source.restart()
                if self.unreadable.pop(source, None) is not None:
                    source.state = IDLE
                if isinstance(source, Group):
                    self.read_or_forget(<Group>source)
                elif source.state == IDLE:
                    self.wait_for_pump(source)
