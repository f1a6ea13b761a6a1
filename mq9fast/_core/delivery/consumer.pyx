"""Places in a mailbox, and the plain subscription among them; see consumer.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, put, put_byte, put_decimal, view, view_of
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.stored_messages cimport durable_messages
from mq9fast._core.protocol.address cimport CRITICAL, RANKS, URGENT
from mq9fast._core.pubsub.client cimport Client, Subscription
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport Runs, Spot


cdef void address_to(Envelope* envelope, Mailbox mailbox, int rank) noexcept:
    """Write the subjects that messages of a rank have, but for their ids."""
    cdef View address = view_of(mailbox.address)
    cdef char* start = envelope.text
    cdef char* at = put(put(start, view(b"$mq9.AI.MAILBOX.MSG.", 20)), address)
    if rank == URGENT:
        at = put(at, view(b".urgent", 7))
    elif rank == CRITICAL:
        at = put(at, view(b".critical", 9))
    envelope.subject = view(start, at - start)
    start = at
    at = put(put(start, view(b"$mq9.AI.MAILBOX.DELETE.", 23)), address)
    envelope.id_at = put_byte(at, c'.')
    envelope.reply.data = start
    envelope.rank = rank


cdef void seal(Envelope* envelope, uint64_t msg_id, const StoredMessage* message, Spot spot) noexcept:
    """Put a message into an envelope that is addressed: its id, and where the sender's bytes are."""
    envelope.reply.size = put_decimal(envelope.id_at, msg_id) - envelope.reply.data
    envelope.header = message.header
    envelope.payload = message.payload
    envelope.msg_id = msg_id
    envelope.spot = spot


cdef class Source:
    """Something that reads one mailbox."""

    cdef int restart(self) except -1:
        """The mailbox begins a life: everything in it is still to come."""
        cdef int rank
        for rank in range(RANKS):
            self.place[rank] = 0
        self.since = 0
        self.caught_up = False
        return 0

    cdef int offer(self, Envelope* envelope) except -1:
        """Take a message that just became durable, or fall behind."""
        raise TypeError("a source is a Reader or a Group")

    cdef Pumped pump(self, object store) except *:
        """Take what the store holds, some of it."""
        raise TypeError("a source is a Reader or a Group")

    cdef int park(self) except -1:
        """Wait with the clients whose sockets are full."""
        raise TypeError("a source is a Reader or a Group")

    cdef Pumped finish_pump(self) noexcept:
        """Nothing durable is left to give: read along live, unless what is not durable yet came before us."""
        if self.mailbox.durable_id < self.since:
            return NOT_DURABLE
        self.caught_up = True
        return CAUGHT_UP

    cdef bint wants(self, int rank):
        """Whether a parked source could take a message of the rank all the same."""
        return False

    cdef Runs scan(self, object store, int rank):
        """The stored messages of a rank that are durable and not yet given; None if there are none."""
        return durable_messages(store, self.mailbox, rank, self.place[rank])


cdef class Reader(Source):
    """A subscription outside queue groups: it gets every message of the ranks it takes."""

    def __cinit__(self, Mailbox mailbox not None, Subscription subscription not None, int ranks):
        self.mailbox = mailbox
        self.subscription = subscription
        self.ranks = ranks
        self.since = mailbox.next_id

    cdef int park(self) except -1:
        # One that waits for its end, because it had its last delivery or its client is doomed, waits nowhere.
        if not self.subscription.client.writable:
            self.subscription.client.parked[self] = None
        return 0

    cdef int give(self, Envelope* envelope) except -1:
        self.subscription.send(envelope.subject, envelope.reply, envelope.header, envelope.payload)
        self.place[envelope.rank] = envelope.msg_id + 1
        return 0

    cdef int offer(self, Envelope* envelope) except -1:
        if not self.caught_up or not (self.ranks >> envelope.rank) & 1 or self.subscription.exhausted():
            return 0
        if not self.room_in(self.subscription.client):
            self.caught_up = False
            return 0
        return self.give(envelope)

    cdef Pumped pump(self, object store) except *:
        cdef Envelope envelope
        cdef Client client = self.subscription.client
        cdef Py_ssize_t budget = PUMP_BYTES
        cdef Runs runs
        cdef int rank
        for rank in range(RANKS):
            runs = self.scan(store, rank) if (self.ranks >> rank) & 1 else None
            if runs is None:
                continue
            address_to(&envelope, self.mailbox, rank)
            while runs.next_message():
                if self.subscription.exhausted() or not client.writable or client.doomed:
                    return WAITING
                if budget <= 0 or not self.room_in(client):
                    return MORE_TO_GIVE
                seal(&envelope, runs.msg_id, &runs.message, runs.run.spot(runs.index))
                self.give(&envelope)
                budget -= cost_of(&envelope)
            self.place[rank] = self.mailbox.durable_id
        return self.finish_pump()
