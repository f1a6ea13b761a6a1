"""Routing of plain NATS messages: to every subscription that matches, and to one member of each queue group.

`Session` passes it the PUBs of clients and their SUBs to plain subjects. Delivery and commands use it for the
broker's replies. It writes to the output of clients, and stalls clients that send to slow receivers.
"""

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
    cdef uint64_t random_state        # of the generator that picks members of queue groups
    cdef Limits limits

    cdef inline Py_ssize_t pick_random(self, Py_ssize_t count) noexcept:
        """A random number from 0 to `count` - 1, by xorshift."""
        self.random_state ^= self.random_state << 13
        self.random_state ^= self.random_state >> 7
        self.random_state ^= self.random_state << 17
        return <Py_ssize_t>(self.random_state % <uint64_t>count)

    cdef int publish(self, Client sender, const Operation* op) except -1
    cdef int answer(self, Client requester, View reply, View body) except -1
    cdef int answer_with_header(self, Client requester, View reply, View header, View body) except -1
    cdef Py_ssize_t deliver_answer(
        self, Match* match, Client receiver, View subject, View header, View body
    ) except -1
    cdef bint takes_answer(self, Subscription subscription, Client receiver, View subject) except *
    cdef Match* match(self, View subject) except NULL
    cdef Py_ssize_t deliver(
        self, Client sender, View subject, View reply, View header, View payload
    ) except -1
    cdef Py_ssize_t deliver_to_group(
        self, Match* match, Py_ssize_t start, Py_ssize_t end, Client sender,
        View subject, View reply, View header, View payload,
    ) except -1
    cdef bint accepts(self, Subscription subscription, Client sender, View subject) except *
    cdef int stall_sender(self, Client sender, Client receiver) except -1
    cdef int report_no_responders(self, Client sender, const Operation* op) except -1
    cdef int send_no_responders(self, Client sender, View subject, View reply) except -1
    cdef int subscribe(self, Subscription subscription) except -1
    cdef int unsubscribe(self, Subscription subscription) except -1
