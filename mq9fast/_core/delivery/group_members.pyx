"""The members of a queue group; the contract, and who uses it, is in group_members.pxd."""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.delivery.consumer cimport CAUGHT_UP, NO_RECEIVER, CatchUpResult, Consumer, accepts_more
from mq9fast._core.delivery.given_back cimport GivenBack, GroupWork
from mq9fast._core.delivery.in_flight cimport DELETING, HELD, UNSTORED, InFlight, InFlightTable
from mq9fast._core.delivery.member cimport Member, MemberRing
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.options cimport MailboxOptions
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.pubsub.client cimport Client, Subscription

cdef enum:
    TIMED_OUT_AT_ONCE = 1024      # messages of one member that time out in one turn


cdef void check_counts(GroupMembers group) noexcept:
    """The other entries of the table are being deleted, and their members have left."""
    cdef Member member
    cdef Py_ssize_t known = group.in_flight.returned_count()
    for member in group.members:
        known += member.in_flight.count
    check(known <= group.in_flight.size, b"what members have in flight is in their group's table")
    check(0 <= group.deleting <= group.in_flight.size, b"messages that are being deleted are in the table")


cdef void check_left(GroupMembers group, Member left) noexcept:
    cdef Py_ssize_t i
    cdef const InFlight* entry
    for i in range(group.in_flight.capacity):
        entry = group.in_flight.buckets[i]
        while entry is not NULL:
            check(entry.member != <void*>left, b"no entry names a member that left")
            entry = entry.chain


cdef class GroupMembers(Consumer):
    """Base of QueueGroup."""

    def __cinit__(self, Mailbox mailbox not None, bytes name not None, GroupWork work not None):
        self.mailbox = mailbox
        self.name = name
        self.work = work
        self.members = []
        self.suspects = []
        self.work.last_group += 1
        self.number = self.work.last_group
        self.free = MemberRing()
        self.in_flight = InFlightTable(mailbox)
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
        cdef Member member = Member(self, subscription, ranks)
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
        self.trust(member)
        self.work.timers.cancel(member)
        self.members.remove(member)
        while member.in_flight.first is not NULL:
            entry = member.in_flight.first
            if failed and entry.state == HELD:
                self.in_flight.fail(entry, &member.in_flight)
                self.back().queue()
                continue
            if failed and entry.former == HELD:
                # Its deletion may fail: then it was not answered.
                self.back()
                entry.former = UNSTORED
            self.in_flight.return_to_group(entry, &member.in_flight)
        if CHECKED:
            check_left(self, member)
            check_counts(self)
        self.caught_up = False
        return 0

    cdef bint keeps_messages(self, Member member) noexcept:
        """Whether a member that unsubscribes keeps what it holds: a client that drains still answers."""
        return self.ack_wait_ms > 0 and member.in_flight.count > 0

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
        """Whether it has members, failed deliveries that are not stored yet, or messages whose deletion may
        fail."""
        if self.members or self.deleting > 0:
            return True
        return self.given_back is not None and self.given_back.is_storing()

    cdef int drop(self) except -1:
        """The group is forgotten, or starts again."""
        if self.given_back is not None:
            self.work.timers.cancel(self.given_back)
        return 0

    cdef bint has_room(self, Member member) noexcept:
        """Whether the member may hold another message."""
        if member.finished or member.timed_out is not None:
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
        self.ack_wait_ms = 0 if options is None else options.ack_wait_ms
        for member in self.members:
            if self.ack_wait_ms == 0:
                self.trust(member)
            self.watch(member)
            if self.has_room(member):
                self.holds_less(member)
            else:
                self.free.remove(member)
        return 0

    cdef int remove_if_finished(self, Member member) except -1:
        """Remove a member that unsubscribed or reached its maximum, and has nothing in flight any more."""
        if member.in_flight.count == 0 and (member.finished or member.subscription.max_reached()):
            self.finish(member)
            self.trust(member)
            self.work.timers.cancel(member)
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
        """The deletion failed: the message is in flight at its member again. Without a member it waits or is
        stored as before, or goes to another member."""
        cdef InFlight* entry = self.in_flight.find(msg_id)
        cdef Member member
        if entry is NULL or entry.state != DELETING:
            return 0
        self.deleting -= 1
        member = self.member_of(entry)
        if member is None:
            entry.state = HELD
            self.caught_up = False
            if self.given_back is not None and self.given_back.take_back(entry):
                return 0
            return self.in_flight.return_to_group(entry, NULL)
        self.in_flight.deletion_failed(entry, &member.in_flight)
        self.watch(member)
        if not self.has_room(member):
            self.free.remove(member)
        return 0

    cdef int watch(self, Member member) except -1:
        """Have the member's timer ring when the message that it has held longest times out."""
        if self.ack_wait_ms and member.in_flight.last is not NULL:
            self.work.timers.set(member, member.in_flight.last.item.major + self.ack_wait_ms)
        return 0

    cdef int prolong(self, InFlight* entry) except -1:
        """The member that holds the message still works on it."""
        cdef Member member = self.member_of(entry)
        self.in_flight.prolong(entry, &member.in_flight, self.work.catch_up_queue.mailbox_index.now_ms)
        return 0

    cdef int check_holds(self, object timed, uint64_t now_ms) except -1:
        cdef Member member = timed
        cdef InFlight* entry = member.in_flight.last
        cdef InFlight* newer
        cdef uint64_t given_ms
        cdef Py_ssize_t left = TIMED_OUT_AT_ONCE
        while self.ack_wait_ms and left and entry is not NULL:
            newer = entry.previous
            if entry.state == HELD:
                given_ms = entry.item.major
                if given_ms + self.ack_wait_ms > now_ms:
                    break
                self.distrust(member, entry.item.minor, given_ms, now_ms)
                self.in_flight.fail(entry, &member.in_flight)
                self.back().queue()
                left -= 1
            entry = newer
        if self.ack_wait_ms and entry is not NULL:
            self.work.timers.set(member, max(entry.item.major + self.ack_wait_ms, now_ms + 1))
        if member.timed_out is not None:
            if member.paused_until_ms > now_ms:
                self.work.timers.set(member, member.paused_until_ms)
            elif not self.caught_up:
                self.work.catch_up_queue.add(self)
        return self.remove_if_finished(member)

    cdef int distrust(self, Member member, uint64_t msg_id, uint64_t given_ms, uint64_t now_ms) except -1:
        """The member let a message time out: it gets another one only if no other member can take it."""
        if member.timed_out is None:
            self.free.remove(member)
            self.suspects.append(member)
            self.mailbox.has_suspects = True
        return member.let_time_out(msg_id, given_ms, now_ms, self.ack_wait_ms)

    cdef int trust(self, Member member) except -1:
        """The member answered: it is as any other."""
        if member.timed_out is None:
            return 0
        member.timed_out = None
        member.time_outs = 0
        self.suspects.remove(member)
        return self.holds_less(member)

    cdef int trust_client(self, Client client) except -1:
        """The client answered a delivery to this group."""
        cdef Member member
        for member in list(self.suspects):
            if member.subscription.client is client:
                self.trust(member)
        return 0

    cdef Member choose(self, int rank, uint64_t msg_id):
        """The member that gets this message: the next in turn, or None. If none of them takes the rank and
        has room, one that let messages time out gets it, after its pause and unless it holds another one."""
        cdef Member member = self.free.choose(rank)
        if member is not None or not self.suspects or self.free.blocked_reason(rank) != CAUGHT_UP:
            return member
        for member in self.suspects:
            if (
                member.takes(rank) and not member.finished and member.in_flight.unanswered == 0
                and member.paused_until_ms <= self.work.catch_up_queue.mailbox_index.expiry_clock_ms
                and (self.takers[rank] == 1 or msg_id not in member.timed_out)
                and accepts_more(member.subscription.client)
            ):
                return member
        return None

    cdef CatchUpResult blocked_reason(self, int rank):
        """Why `choose` found none. NO_RECEIVER: full sockets, or all members hold as much as they may;
        MORE_TO_GIVE: clients have too much unwritten output in this turn; CAUGHT_UP: no member subscribed to
        the rank, and its messages wait for one that does."""
        cdef CatchUpResult why = self.free.blocked_reason(rank)
        return NO_RECEIVER if why == CAUGHT_UP and self.takers[rank] else why

    cdef int restart(self) except -1:
        cdef Member member
        self.in_flight.clear()
        self.deleting = 0
        self.drop()
        for member in list(self.members):
            member.in_flight.first = member.in_flight.last = NULL
            member.in_flight.count = 0
            member.in_flight.unanswered = 0
            self.trust(member)
            self.remove_if_finished(member)
        self.read_options()
        return Consumer.restart(self)

    cdef int park(self) except -1:
        return self.free.park(self)
