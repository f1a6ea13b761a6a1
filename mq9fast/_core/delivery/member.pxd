"""A member of a queue group, and the ring of those members that may be given another message.

`QueueGroup` owns both. A member that holds as many unanswered messages as it may is not in the ring: a group
whose members are all like that finds no member at once, however many there are.
"""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.timers cimport Timed
from mq9fast._core.delivery.consumer cimport CatchUpResult, Consumer
from mq9fast._core.delivery.in_flight cimport InFlightList
from mq9fast._core.pubsub.client cimport Subscription


cdef class Member(Timed):
    # Its timer rings when it may have held a message for too long, or when its pause is over.
    cdef Consumer group
    cdef Subscription subscription
    cdef int ranks            # the set of ranks that it subscribed to
    cdef InFlightList in_flight
    cdef bint finished        # it is given nothing more: it left, or reached its maximum
    # Its neighbours in the ring; None while it is not in the ring.
    cdef Member next_free
    cdef Member previous_free

    # For a member that let messages time out since its last answer. It is not in the ring.
    cdef uint32_t time_outs       # in a row
    cdef uint64_t timed_out_ms    # when the last one was
    cdef uint64_t paused_until_ms
    cdef set timed_out            # the ids of these messages; else None

    cdef int let_time_out(
        self, uint64_t msg_id, uint64_t given_ms, uint64_t now_ms, uint64_t ack_wait_ms
    ) except -1

    cdef inline bint takes(self, int rank) noexcept:
        return (self.ranks >> rank) & 1 and not self.subscription.max_reached()


cdef class MemberRing:
    cdef Member first         # the member that is asked first for the next message; None if there is none

    cdef int add(self, Member member) except -1
    cdef int remove(self, Member member) except -1
    cdef Member choose(self, int rank)
    cdef Member find(self, int rank)
    cdef CatchUpResult blocked_reason(self, int rank)
    cdef int park(self, object consumer) except -1
