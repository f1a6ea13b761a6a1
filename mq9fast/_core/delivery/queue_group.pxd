"""A queue group: the subscriptions to one mailbox with the same queue name.

The group gives each message to one member. If that member leaves or sends -NAK, the group gives the message
to another. A message is in flight until a client deletes it. `Delivery` calls the group for members that come
and go and for messages, `MailboxWriter` for answers. The group reads the store and writes to clients.
"""

from cpython.dict cimport PyDict_Next
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.delivery.consumer cimport CatchUpResult, DeliveryFrame, cost_of
from mq9fast._core.delivery.group_members cimport GroupMembers
from mq9fast._core.delivery.in_flight cimport InFlight
from mq9fast._core.delivery.member cimport Member
from mq9fast._core.storage.record_batch cimport RecordBatch


cdef enum:
    # A group with several members gets more large messages in a turn, so that each of them gets some with one
    # write. Of messages up to SMALL_BYTES it gets as many as with one member: they cost more time.
    MAX_SHARES = 4
    SMALL_BYTES = 256


cdef class QueueGroup(GroupMembers):
    cdef bint must_wait(self, DeliveryFrame* frame) except -1
    cdef InFlight* add_entry(self, const DeliveryFrame* frame) except NULL
    cdef int give(self, Member member, InFlight* entry, DeliveryFrame* frame) except -1
    cdef int give_new_message(self, Member member, DeliveryFrame* frame) except -1

    cdef inline Py_ssize_t share_of(self, const DeliveryFrame* frame) noexcept:
        """What a delivery takes of the group's share of a turn."""
        cdef Py_ssize_t cost = cost_of(frame)
        # A small message counts as it is, whatever the number of members: no division then.
        return cost if cost <= SMALL_BYTES else self.share_of_large(cost)

    cdef Py_ssize_t share_of_large(self, Py_ssize_t cost) noexcept
    cdef bint open_row(self, RecordBatch batch, const InFlight* entry, object store) except -1
    cdef bint has_only_suspects(self, int rank)
    cdef InFlight* first_for_suspects(self, int rank) except? NULL
    cdef CatchUpResult read_returned_messages(self, object store, int rank, Py_ssize_t* budget) except *

    cdef inline bint is_replaced(self, uint64_t msg_id):
        """Whether a newer message with the same key has replaced it. No member gets it any more."""
        return self.mailbox.keys is not None and self.mailbox.keys.is_replaced(msg_id)

    cdef CatchUpResult read_new_messages(self, object store, int rank, Py_ssize_t* budget) except *


cdef inline QueueGroup next_group(dict groups, Py_ssize_t* position):
    """The next of the groups of a mailbox; `position` is 0 for the first one. Not to be called more often
    than there are groups. A loop over `values()` takes several times as long, and each DELETE has some."""
    cdef PyObject* group
    return <QueueGroup>group if PyDict_Next(groups, position, NULL, &group) else None


cdef inline QueueGroup sole_group(dict groups):
    """The group of a mailbox that has one; None if it has none or several."""
    cdef Py_ssize_t position = 0
    return next_group(groups, &position) if groups is not None and len(groups) == 1 else None
