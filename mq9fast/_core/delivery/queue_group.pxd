"""A queue group of a mailbox: each message to exactly one living member, and back if that one leaves."""

from libc.stdint cimport uint64_t

from mq9fast._core.delivery.consumer cimport Envelope, Pumped, Source
from mq9fast._core.delivery.in_flight cimport Hold, HoldList, Holding
from mq9fast._core.pubsub.client cimport Subscription
from mq9fast._core.storage.record_batch cimport Run


cdef class Member:
    cdef Subscription subscription
    cdef int ranks            # the set it takes
    cdef HoldList held


cdef class Group(Source):
    cdef readonly bytes name
    cdef list members
    cdef Py_ssize_t turn      # index of the member whose turn it is
    cdef Holding holding

    # Members come and go.
    cdef Member join(self, Subscription subscription, int ranks)
    cdef int leave(self, Member member) except -1
    cdef int let_go(self, Member member) except -1

    # A message that a member answered.
    cdef Member holder(self, Hold* hold)
    cdef int give_back(self, Hold* hold) except -1
    cdef int deleting(self, Hold* hold) except -1
    cdef int deleted(self, uint64_t msg_id) except -1
    cdef int not_deleted(self, uint64_t msg_id) except -1

    # Handing out.
    cdef Member choose(self, int rank)
    cdef Pumped blocked(self, int rank)
    cdef bint takes(self, int rank)
    cdef int give(self, Member member, Hold* hold, Envelope* envelope) except -1
    cdef int give_first(self, Member member, Envelope* envelope) except -1
    cdef bint open_row(self, Run run, const Hold* hold, object store) except -1
    cdef Pumped give_returned(self, object store, int rank, Py_ssize_t* budget) except *
    cdef Pumped give_new(self, object store, int rank, Py_ssize_t* budget) except *
