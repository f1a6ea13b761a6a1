"""The members of a queue group, and what each of them holds.

Members join and leave, answer, hold as many messages as they may, and let messages time out. `QueueGroup`
adds reading and handing out. `Delivery` and `MailboxWriter` call it.
"""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.delivery.consumer cimport CatchUpResult, Consumer
from mq9fast._core.delivery.given_back cimport GivenBack, GroupWork
from mq9fast._core.delivery.in_flight cimport InFlight, InFlightTable
from mq9fast._core.delivery.member cimport Member, MemberRing
from mq9fast._core.pubsub.client cimport Client, Subscription


cdef class GroupMembers(Consumer):
    cdef readonly bytes name
    cdef list members
    cdef MemberRing free             # those that may be given another message
    cdef Py_ssize_t takers[3]        # by rank: members that take its messages now or after an answer
    cdef uint64_t max_in_flight      # unanswered messages of one member; 0 = no limit
    cdef list suspects               # members that let messages time out, and did not answer since
    cdef uint64_t ack_wait_ms        # how long a member may hold a message; 0 = as long as it likes
    cdef uint64_t number             # of the group, for tokens: no other group has or had it
    cdef uint64_t deliveries         # with a token
    cdef GroupWork work
    cdef GivenBack given_back        # None until it is needed
    cdef InFlightTable in_flight
    cdef Py_ssize_t deleting         # entries of the table in the state DELETING

    # Members come and go.
    cdef Member join(self, Subscription subscription, int ranks)
    cdef int leave(self, Member member, bint failed) except -1
    cdef bint keeps_messages(self, Member member) noexcept
    cdef int finish(self, Member member) except -1
    cdef bint is_needed(self) noexcept
    cdef int drop(self) except -1
    cdef int remove_if_finished(self, Member member) except -1

    # How much a member may hold.
    cdef bint has_room(self, Member member) noexcept
    cdef int holds_less(self, Member member) except -1
    cdef int read_options(self) except -1

    # A message that a member answered.
    cdef Member member_of(self, InFlight* entry)
    cdef GivenBack back(self)
    cdef int refuse(self, InFlight* entry, int64_t delay_ms) except -1
    cdef int begin_deletion(self, InFlight* entry) except -1
    cdef int deletion_durable(self, uint64_t msg_id) except -1
    cdef int deletion_failed(self, uint64_t msg_id) except -1

    # How long a member holds a message, and who gets the next one.
    cdef int watch(self, Member member) except -1
    cdef int prolong(self, InFlight* entry) except -1
    cdef int distrust(self, Member member, uint64_t msg_id, uint64_t given_ms, uint64_t now_ms) except -1
    cdef int trust(self, Member member) except -1
    cdef int trust_client(self, Client client) except -1
    cdef Member choose(self, int rank, uint64_t msg_id)
    cdef CatchUpResult blocked_reason(self, int rank)
