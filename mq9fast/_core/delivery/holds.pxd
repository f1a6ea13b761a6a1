"""Finds what an answer to a delivery is about: by its token, or by the client that holds the message.

`MailboxWriter` calls it for answers.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.delivery.in_flight cimport InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.pubsub.client cimport Client


cdef struct Hold:
    # What `find_hold` found. DANGER: valid until the group changes.
    InFlight* entry
    bint waits                # the message waits to be given out again; else a member holds it


cdef QueueGroup find_hold(Mailbox mailbox, uint64_t msg_id, View token, Hold* hold)
cdef int note_answer(Mailbox mailbox, Client client) except -1
