"""Where a plain subject goes: to every subscription that matches, and to one member of each queue group."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport Limits
from mq9fast._core.base.view cimport View
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.pubsub.client cimport PendingWork, Client, Subscription
from mq9fast._core.pubsub.match_cache cimport Match
from mq9fast._core.pubsub.sublist cimport Sublist


cdef class Router:
    cdef readonly Sublist sublist
    cdef PendingWork pending_work
    cdef uint64_t dice        # state of the generator that picks group members
    cdef Limits limits

    cdef inline Py_ssize_t pick(self, Py_ssize_t count) noexcept:
        """One of so many, at random."""
        self.dice ^= self.dice << 13
        self.dice ^= self.dice >> 7
        self.dice ^= self.dice << 17
        return <Py_ssize_t>(self.dice % <uint64_t>count)

    cdef int publish(self, Client sender, const Operation* op) except -1
    cdef int answer(self, View reply, View body) except -1
    cdef Py_ssize_t deliver(
        self, Client sender, View subject, View reply, View header, View payload
    ) except -1
    cdef Py_ssize_t deliver_to_group(
        self, Match* match, Py_ssize_t start, Py_ssize_t end, Client sender,
        View subject, View reply, View header, View payload,
    ) except -1
    cdef bint can_take(self, Subscription subscription, Client sender, View subject) except *
    cdef int press(self, Client sender, Client receiver) except -1
    cdef int nobody_took(self, Client sender, const Operation* op) except -1
    cdef int no_responders(self, Client sender, View subject, View reply) except -1
    cdef int subscribe(self, Subscription subscription) except -1
    cdef int unsubscribe(self, Subscription subscription) except -1
