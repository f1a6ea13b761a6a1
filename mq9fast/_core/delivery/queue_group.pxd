"""A queue group: the subscriptions to one mailbox with the same queue name.

The group gives each message to one member. If that member leaves or sends -NAK, the group gives the message
to another. A message is in flight until a client deletes it. `Delivery` calls the group for members that come
and go and for messages, `MailboxWriter` for answers. The group reads the store and writes to clients.
"""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.delivery.consumer cimport DeliveryFrame, CatchUpResult, Consumer
from mq9fast._core.delivery.given_back cimport GivenBack, GroupWork
from mq9fast._core.delivery.in_flight cimport InFlight, InFlightTable
from mq9fast._core.delivery.member cimport Member, MemberRing
from mq9fast._core.pubsub.client cimport Subscription
from mq9fast._core.storage.record_batch cimport RecordBatch


cdef class QueueGroup(Consumer):
    cdef readonly bytes name
    cdef list members
    cdef MemberRing free             # those that may be given another message
    cdef Py_ssize_t takers[3]        # by rank: members that take its messages now or after an answer
    cdef uint64_t max_in_flight      # unanswered messages of one member; 0 = no limit
    cdef GroupWork work
    cdef GivenBack given_back         # None until it is needed
    cdef InFlightTable in_flight
    cdef Py_ssize_t deleting         # entries of the table in the state DELETING

    # Members come and go.
    cdef Member join(self, Subscription subscription, int ranks)
    cdef int leave(self, Member member, bint failed) except -1
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

    # Handing out.
    cdef bint must_wait(self, DeliveryFrame* frame) except -1
    cdef InFlight* add_entry(self, const DeliveryFrame* frame) except NULL
    cdef CatchUpResult blocked_reason(self, int rank)
    cdef int give(self, Member member, InFlight* entry, DeliveryFrame* frame) except -1
    cdef int give_new_message(self, Member member, DeliveryFrame* frame) except -1
    cdef bint open_row(self, RecordBatch batch, const InFlight* entry, object store) except -1
    cdef CatchUpResult read_returned_messages(self, object store, int rank, Py_ssize_t* budget) except *
    cdef CatchUpResult read_new_messages(self, object store, int rank, Py_ssize_t* budget) except *
