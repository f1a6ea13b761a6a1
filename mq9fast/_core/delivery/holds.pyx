"""What an answer is about; the contract is in holds.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.delivery.in_flight cimport DELETING, HELD
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.delivery.token cimport read_token
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.pubsub.client cimport Client


cdef QueueGroup find_hold(Mailbox mailbox, uint64_t msg_id, View token, Hold* hold):
    """The group of a token, if an answer with it counts; else None. It counts if the token is that of the
    present delivery, or if the message waits in its group to be given out again."""
    cdef QueueGroup group
    cdef uint64_t number = 0
    cdef uint64_t delivery = 0
    if not mailbox.groups or not read_token(token, &number, &delivery):
        return None
    for group in mailbox.groups.values():
        if group.number != number:
            continue
        hold.entry = group.in_flight.find(msg_id)
        if hold.entry is NULL or hold.entry.state == DELETING:
            return None
        hold.waits = hold.entry.state != HELD
        return group if hold.waits or hold.entry.delivery == delivery else None
    return None


cdef int note_answer(Mailbox mailbox, Client client) except -1:
    """The client has answered a delivery, perhaps too late."""
    cdef QueueGroup group
    if mailbox.groups:
        for group in mailbox.groups.values():
            if group.suspects:
                group.trust_client(client)
    return 0
