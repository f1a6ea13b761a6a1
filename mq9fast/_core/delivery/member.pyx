"""The members of a queue group; the contract is in member.pxd."""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.timers cimport Timed
from mq9fast._core.delivery.consumer cimport (
    CAUGHT_UP, MORE_TO_GIVE, NO_RECEIVER, CatchUpResult, Consumer, accepts_more
)
from mq9fast._core.pubsub.client cimport Subscription


cdef enum:
    LONGEST_PAUSE = 4           # 1 << 4 times ack_wait


cdef class Member(Timed):
    """One queue subscription and its messages in flight. It stays until the last of them is answered."""

    def __cinit__(self, Consumer group not None, Subscription subscription not None, int ranks):
        self.group = group
        self.subscription = subscription
        self.ranks = ranks

    cdef int ring(self, uint64_t now_ms) except -1:
        return self.group.check_holds(self, now_ms)

    cdef int let_time_out(
        self, uint64_t msg_id, uint64_t given_ms, uint64_t now_ms, uint64_t ack_wait_ms
    ) except -1:
        """The member let a message time out: it pauses, twice as long each time in a row."""
        if self.timed_out is None:
            self.timed_out = set()
        self.timed_out.add(msg_id)
        if self.time_outs == 0 or given_ms > self.timed_out_ms:
            self.timed_out_ms = now_ms
            self.paused_until_ms = now_ms + (ack_wait_ms << min(self.time_outs, <uint32_t>LONGEST_PAUSE))
            self.time_outs += 1
        return 0


cdef class MemberRing:
    """Members that may be given another message, in the order in which they are asked."""

    cdef int add(self, Member member) except -1:
        """Add a member: it is asked last. Nothing happens if it is in the ring."""
        if member.next_free is not None:
            return 0
        if self.first is None:
            self.first = member.next_free = member.previous_free = member
            return 0
        member.next_free = self.first
        member.previous_free = self.first.previous_free
        member.previous_free.next_free = member
        self.first.previous_free = member
        return 0

    cdef int remove(self, Member member) except -1:
        """Remove a member. Nothing happens if it is not in the ring."""
        if member.next_free is None:
            return 0
        check(
            member.next_free.previous_free is member and member.previous_free.next_free is member,
            b"neighbours in the ring of members know each other",
        )
        if member.next_free is member:
            self.first = None
        else:
            member.next_free.previous_free = member.previous_free
            member.previous_free.next_free = member.next_free
            if self.first is member:
                self.first = member.next_free
        member.next_free = member.previous_free = None
        return 0

    cdef Member choose(self, int rank):
        """The next member, in turn, that subscribed to the rank and whose socket is not full, or None."""
        cdef Member member = self.find(rank)
        if member is not None:
            self.first = member.next_free
        return member

    cdef Member find(self, int rank):
        """The member that `choose` would return."""
        cdef Member member = self.first
        while member is not None:
            if member.takes(rank) and accepts_more(member.subscription.client):
                return member
            member = member.next_free
            if member is self.first:
                break
        return None

    cdef CatchUpResult blocked_reason(self, int rank):
        """Why `choose` found none. NO_RECEIVER: full sockets; MORE_TO_GIVE: clients have too much unwritten
        output in this turn; CAUGHT_UP: no member of the ring subscribed to the rank."""
        cdef Member member = self.first
        cdef CatchUpResult why = CAUGHT_UP
        while member is not None:
            if member.takes(rank):
                if member.subscription.client.writable and not member.subscription.client.closing:
                    return MORE_TO_GIVE
                why = NO_RECEIVER
            member = member.next_free
            if member is self.first:
                break
        return why

    cdef int park(self, object consumer) except -1:
        """Have `consumer` wait until a full socket of a member drains."""
        cdef Member member = self.first
        while member is not None:
            if not member.subscription.client.writable:
                member.subscription.client.parked[consumer] = None
            member = member.next_free
            if member is self.first:
                break
        return 0
