"""A member of a queue group, and the ring of those members that may be given another message.

`QueueGroup` owns both. A member that holds as many unanswered messages as it may is not in the ring: a group
whose members are all like that finds no member at once, however many there are.
"""

from mq9fast._core.delivery.consumer cimport CatchUpResult
from mq9fast._core.delivery.in_flight cimport InFlightList
from mq9fast._core.pubsub.client cimport Subscription


cdef class Member:
    cdef Subscription subscription
    cdef int ranks            # the set of ranks that it subscribed to
    cdef InFlightList in_flight
    cdef bint finished        # it is given nothing more: it left, or reached its maximum
    # Its neighbours in the ring; None while it is not in the ring.
    cdef Member next_free
    cdef Member previous_free

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
