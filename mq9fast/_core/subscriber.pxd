"""A client's subscriptions and permissions: SUB, UNSUB, and what the client may do.

A `Session` is one. It passes subscriptions to plain subjects to the router, those to mailboxes to delivery.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.engine cimport Engine
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.pubsub.client cimport Client, Subscription
from mq9fast._core.pubsub.permissions cimport Permissions


cdef class Subscriber(Client):
    cdef Engine engine
    cdef Permissions permissions  # None = everything
    cdef bint reads_mailboxes  # it has subscribed to a mailbox
    cdef readonly uint64_t control_operations  # its PINGs, SUBs and UNSUBs

    cdef int subscribe(self, const Operation* op) except -1
    cdef bint is_full(self) except *
    cdef Subscription subscribe_to_mailbox(self, const Operation* op, bytes sid, bytes queue)
    cdef int unsubscribe(self, const Operation* op) except -1
    cdef int end_after(self, Subscription subscription, uint64_t maximum) except -1
    cdef int refuse_subscription(self, View subject, View queue, bytes end=*) except -1
    cdef int violate(self, bytes sentence) except -1
    cdef int ok(self) except -1
