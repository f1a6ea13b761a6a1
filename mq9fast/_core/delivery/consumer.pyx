"""What reads a mailbox; the contract is in consumer.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport View, put, put_byte, put_decimal, view, view_of
from mq9fast._core.delivery.failures cimport Failures
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.stored_messages cimport durable_messages
from mq9fast._core.protocol.literals cimport DELETE_PREFIX, MSG_PREFIX, NORMAL, PRIORITIES, RANKS
from mq9fast._core.pubsub.client cimport Client, Subscription
from mq9fast._core.storage.record cimport StoredMessage, name_of
from mq9fast._core.storage.record_batch cimport RecordBatchReader, RecordLocation


cdef void begin_frame(DeliveryFrame* frame, Mailbox mailbox, int rank) noexcept:
    """Write the subjects of a frame for this mailbox and rank, without the message id."""
    cdef View address = view_of(mailbox.address)
    cdef char* start = frame.text
    cdef char* at = put(put(start, MSG_PREFIX), address)
    if rank != NORMAL:
        at = put(put_byte(at, c'.'), PRIORITIES[rank])
    frame.subject = view(start, at - start)
    start = at
    at = put(put(start, DELETE_PREFIX), address)
    frame.id_at = put_byte(at, c'.')
    frame.reply.data = start
    frame.rank = rank


cdef int fill_frame(
    DeliveryFrame* frame, uint64_t msg_id, const StoredMessage* message, RecordLocation location
) except -1:
    """Complete a frame with one message: its id, and where its header and payload are."""
    frame.reply.size = put_decimal(frame.id_at, name_of(message, msg_id)) - frame.reply.data
    frame.header = message.header
    frame.payload = message.payload
    frame.flags = message.flags
    frame.msg_id = msg_id
    frame.location = location
    return 0


cdef class Consumer:
    """Base of PlainConsumer and QueueGroup."""

    cdef int restart(self) except -1:
        """The mailbox was created or has ended: start again with its first message."""
        cdef int rank
        for rank in range(RANKS):
            self.cursor[rank] = 0
        self.live_from_id = 0
        self.caught_up = False
        return 0

    cdef int offer(self, DeliveryFrame* frame) except -1:
        """Deliver a message that just became durable, or fall behind."""
        raise NotImplementedError

    cdef CatchUpResult catch_up(self, object store) except *:
        """Deliver messages from the store, up to this turn's share."""
        raise NotImplementedError

    cdef int park(self) except -1:
        """Wait until a client can accept messages again."""
        raise NotImplementedError

    cdef CatchUpResult finish_catch_up(self) noexcept:
        """Everything durable was delivered: go live, unless earlier messages are not durable yet."""
        if self.mailbox.durable_id < self.live_from_id:
            return NOT_DURABLE
        self.caught_up = True
        return CAUGHT_UP

    cdef bint wants(self, int rank):
        """Whether a parked consumer can still deliver a message of this rank."""
        return False

    cdef int check_holds(self, object member, uint64_t now_ms) except -1:
        """The timer of a member of a queue group has rung."""
        raise NotImplementedError

    cdef RecordBatchReader scan(self, object store, int rank):
        """The durable messages of a rank from the cursor on; None if there are none."""
        return durable_messages(store, self.mailbox, rank, self.cursor[rank])


cdef class PlainConsumer(Consumer):
    """A subscription without a queue group: it gets every message of its ranks."""

    def __cinit__(
        self, Mailbox mailbox not None, Subscription subscription not None, Failures failures not None,
        int ranks,
    ):
        self.mailbox = mailbox
        self.subscription = subscription
        self.failures = failures
        self.ranks = ranks
        self.live_from_id = mailbox.next_id

    cdef int park(self) except -1:
        # A consumer that reached its maximum, or whose client is closing, is not parked.
        if not self.subscription.client.writable:
            self.subscription.client.parked[self] = None
        return 0

    cdef Py_ssize_t unsent_bytes(self) except -1:
        """What the transport has not written yet: no later message can overtake it."""
        connection = self.subscription.client.connection
        return 0 if connection is None else connection.unsent_bytes()

    cdef int give(self, DeliveryFrame* frame) except -1:
        check(self.cursor[frame.rank] <= frame.msg_id, b"a consumer is given each message once, in order")
        check(frame.msg_id < self.mailbox.durable_id, b"only durable messages are delivered")
        self.subscription.send_lending(frame.subject, frame.reply, frame.header, frame.payload)
        self.cursor[frame.rank] = frame.msg_id + 1
        return 0

    cdef int offer(self, DeliveryFrame* frame) except -1:
        if not self.caught_up or not (self.ranks >> frame.rank) & 1 or self.subscription.max_reached():
            return 0
        if not accepts_more(self.subscription.client):
            self.caught_up = False
            return 0
        return self.give(frame)

    cdef CatchUpResult catch_up(self, object store) except *:
        cdef DeliveryFrame frame
        cdef Client client = self.subscription.client
        cdef Py_ssize_t share = catch_up_bytes(client.pending_work) - self.unsent_bytes()
        cdef Py_ssize_t budget = share
        cdef Py_ssize_t cost
        cdef RecordBatchReader reader
        cdef int rank
        if self.mailbox.has_failure_rows and not self.failures.load(self.mailbox, LOADED_AT_ONCE):
            return MORE_TO_GIVE
        for rank in range(RANKS):
            reader = self.scan(store, rank) if (self.ranks >> rank) & 1 else None
            if reader is None:
                continue
            begin_frame(&frame, self.mailbox, rank)
            while reader.next_message():
                if self.subscription.max_reached() or not client.writable or client.closing:
                    return NO_RECEIVER
                if budget <= 0 or not accepts_more(client):
                    return MORE_TO_GIVE
                if self.mailbox.failed is not None and self.mailbox.failed.is_dead(reader.msg_id):
                    continue
                fill_frame(&frame, reader.msg_id, &reader.message, reader.batch.location(reader.index))
                cost = cost_of(&frame)
                if cost > budget and budget < share:
                    # Two messages of more than half a share are given together.
                    if cost <= share // 2 or cost > budget + share // 2:
                        return MORE_TO_GIVE
                self.give(&frame)
                budget -= cost
            check(self.cursor[rank] <= self.mailbox.durable_id, b"a cursor goes back at a restart only")
            self.cursor[rank] = self.mailbox.durable_id
        return self.finish_catch_up()
