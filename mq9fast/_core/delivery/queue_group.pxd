"""A queue group: the subscriptions to one mailbox with the same queue name.

The group gives each message to one member. If that member leaves or sends -NAK, the group gives the message
to another. A message is in flight until a client deletes it. `Delivery` calls the group for members that come
and go and for messages, `MailboxWriter` for answers. The group reads the store and writes to clients.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.delivery.consumer cimport CatchUpResult, DeliveryFrame
from mq9fast._core.delivery.group_members cimport GroupMembers
from mq9fast._core.delivery.in_flight cimport InFlight
from mq9fast._core.delivery.member cimport Member
from mq9fast._core.storage.record_batch cimport RecordBatch


cdef class QueueGroup(GroupMembers):
    cdef bint must_wait(self, DeliveryFrame* frame) except -1
    cdef InFlight* add_entry(self, const DeliveryFrame* frame) except NULL
    cdef int give(self, Member member, InFlight* entry, DeliveryFrame* frame) except -1
    cdef int give_new_message(self, Member member, DeliveryFrame* frame) except -1
    cdef Py_ssize_t share_of(self, const DeliveryFrame* frame) noexcept
    cdef bint open_row(self, RecordBatch batch, const InFlight* entry, object store) except -1
    cdef bint has_only_suspects(self, int rank)
    cdef InFlight* first_for_suspects(self, int rank) except? NULL
    cdef CatchUpResult read_returned_messages(self, object store, int rank, Py_ssize_t* budget) except *

    cdef inline bint is_replaced(self, uint64_t msg_id):
        """Whether a newer message with the same key has replaced it. No member gets it any more."""
        return self.mailbox.keys is not None and self.mailbox.keys.is_replaced(msg_id)

    cdef CatchUpResult read_new_messages(self, object store, int rank, Py_ssize_t* budget) except *
