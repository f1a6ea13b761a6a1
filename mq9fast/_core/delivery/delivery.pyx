"""What leaves the broker for mailboxes; the contract is in delivery.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.view cimport View, put, put_byte, put_decimal, view, view_of
from mq9fast._core.commit.batch_puts cimport Message
from mq9fast._core.commit.commit_group cimport (
    REPLY_BODY, REPLY_DELETED, REPLY_DUPLICATE, REPLY_MSG_ID, CommitGroup, DurableMark, LivePush,
    PendingDelete, PendingReply
)
from mq9fast._core.delivery.catch_up_queue cimport CatchUpQueue
from mq9fast._core.delivery.consumer cimport (
    IDLE, MORE_TO_GIVE, NO_RECEIVER, PARKED, QUEUED, CatchUpResult, Consumer, DeliveryFrame, PlainConsumer,
    begin_frame, fill_frame
)
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.delivery.failures cimport Failures
from mq9fast._core.delivery.given_back cimport GroupWork
from mq9fast._core.delivery.member cimport Member
from mq9fast._core.delivery.queue_group cimport QueueGroup, next_group
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.protocol.literals cimport DUPLICATE_REPLY_END, MSG_ID_REPLY, RANKS
from mq9fast._core.pubsub.client cimport PAUSE_STOPPING, Client, PendingWork, Subscription
from mq9fast._core.pubsub.router cimport Router
from mq9fast._core.storage.record cimport StoredMessage, unpack_message

cdef bytes SERVER_SHUTDOWN = b"Server Shutdown"
cdef bytes DELETED = b'{"deleted":true}'
cdef bytes NOT_DELETED = b'{"deleted":false}'


cdef enum:
    TICK_NS = 1_000_000           # about how long one call of `tick` takes


cdef bint ended_unanswered(Client client) noexcept:
    """Whether the connection of the client ended, for another reason than the end of the broker."""
    if not client.closing or client.paused & PAUSE_STOPPING:
        return False
    return client.close_reason is None or client.close_reason != SERVER_SHUTDOWN


cdef object call_each(list calls, bint durable):
    """Call each with `durable`, even after one has raised. Returns the last exception, or None."""
    failure = None
    for call in calls:
        try:
            call(durable)
        except Exception as error:
            failure = error
    return failure


cdef class MailboxSubscription(Subscription):
    """A SUB to a mailbox."""


cdef class Delivery:
    """One for each broker. `store_errors`: the exception classes that a read of the store raises.
    `first_group`: a random number, from which queue groups are numbered. `bury(mailbox, msg_id, deliveries)`
    makes a dead letter of a message; false if that is to be tried again."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Router router not None,
        PendingWork pending_work not None, Failures failures not None, Events events not None, *,
        store_errors, uint64_t first_group, bury,
    ):
        self.mailbox_index = mailbox_index
        self.router = router
        self.pending_work = pending_work
        self.events = events
        self.catch_up_queue = CatchUpQueue(mailbox_index, pending_work)
        self.group_work = GroupWork(self.catch_up_queue, failures, first_group, bury)
        self.unreadable = {}
        self.store_errors = store_errors

    cdef MailboxSubscription attach(
        self, Client client, bytes sid, bytes subject, bytes queue, View address, int ranks
    ):
        """Subscribe to a mailbox, which need not exist. One past its deadline counts as not existing."""
        cdef MailboxSubscription subscription = MailboxSubscription(client, sid, subject, queue)
        cdef Mailbox mailbox = self.mailbox_index.look_up_or_create(address)
        cdef QueueGroup group
        subscription.mailbox = mailbox
        if mailbox.consumers is None:
            mailbox.consumers = {}
        if queue is None:
            subscription.reader = PlainConsumer(
                mailbox, subscription, self.group_work.failures, ranks
            )
            mailbox.consumers[subscription.reader] = None
            self.catch_up_queue.add(subscription.reader)
            return subscription
        if mailbox.groups is None:
            mailbox.groups = {}
        group = mailbox.groups.get(queue)
        if group is None:
            group = QueueGroup(mailbox, queue, self.group_work)
            mailbox.groups[queue] = group
            mailbox.consumers[group] = None
        subscription.group = group
        subscription.member = group.join(subscription, ranks)
        self.catch_up_queue.add(group)
        return subscription

    cdef int detach(self, MailboxSubscription subscription) except -1:
        """The subscription ends. Messages that it has in flight are returned to its group."""
        if subscription.reader is not None:
            self.drop_consumer(subscription.mailbox, subscription.reader)
        elif subscription.group is not None and subscription.member in subscription.group.members:
            if not subscription.client.closing and subscription.group.keeps_messages(subscription.member):
                return self.finish(subscription)
            self.leave_group(subscription.group, subscription.member)
        subscription.reader = None
        subscription.group = None
        subscription.member = None
        return 0

    cdef int finish(self, MailboxSubscription subscription) except -1:
        """The subscription ended or reached its maximum. A group's member stays until its messages are
        answered or its connection closes: if they were returned now, two members would work on them."""
        if subscription.member is None or subscription.member.in_flight.count == 0:
            return self.detach(subscription)
        subscription.group.finish(subscription.member)
        subscription.client.awaiting_answers[subscription] = None
        return 0

    cdef int leave_group(self, QueueGroup group, Member member) except -1:
        group.leave(member, ended_unanswered(member.subscription.client))
        return self.catch_up_or_drop(group)

    cdef int catch_up_or_drop(self, QueueGroup group) except -1:
        """The group has a returned message or lost a member: let it catch up, or drop it if it is empty."""
        if group.is_needed():
            return self.catch_up_queue.add(group)
        group.drop()
        if group.mailbox.groups.get(group.name) is not group:
            # It was dropped before: its last message was deleted, and then its failures were stored.
            return 0
        del group.mailbox.groups[group.name]
        return self.drop_consumer(group.mailbox, group)

    cdef int drop_consumer(self, Mailbox mailbox, Consumer consumer) except -1:
        del mailbox.consumers[consumer]
        self.unreadable.pop(consumer, None)
        consumer.state = IDLE
        self.events.note_if_waiting(mailbox)
        return self.mailbox_index.remove_if_unused(mailbox)

    cdef int advance_durable(self, CommitGroup commit_group) except -1:
        """Note how far mailboxes are durable, and queue the consumers that waited for it."""
        cdef Py_ssize_t i
        cdef DurableMark* mark
        cdef Mailbox mailbox
        cdef Consumer consumer
        for i in range(commit_group.durable_marks.count):
            mark = commit_group.durable_mark(i)
            mailbox = <Mailbox>mark.mailbox
            if mailbox.uid != mark.uid or not mailbox.exists:
                continue
            mailbox.durable_id = max(mailbox.durable_id, mark.next_id)
            mailbox.check_ids()
            if mailbox.consumers:
                for consumer in mailbox.consumers:
                    if not consumer.caught_up and consumer.state == IDLE:
                        self.catch_up_queue.add(consumer)
        return 0

    cdef int answer(self, const PendingReply* pending_reply, View reply) except -1:
        cdef Client requester = <Client>pending_reply.requester
        cdef char text[64]
        cdef char* at = text
        cdef bytes body
        if pending_reply.kind == REPLY_MSG_ID:
            at = put_byte(put_decimal(put(at, MSG_ID_REPLY), pending_reply.number), c'}')
            return self.router.answer(requester, reply, view(text, at - text))
        if pending_reply.kind == REPLY_DUPLICATE:
            at = put(put_decimal(put(at, MSG_ID_REPLY), pending_reply.number), DUPLICATE_REPLY_END)
            return self.router.answer(requester, reply, view(text, at - text))
        if pending_reply.kind == REPLY_BODY:
            return self.router.answer(requester, reply, view_of(<bytes>pending_reply.body))
        body = DELETED if pending_reply.kind == REPLY_DELETED else NOT_DELETED
        return self.router.answer(requester, reply, view_of(body))

    cdef int push(self, CommitGroup commit_group, int rank, uint64_t end_ns) except -1:
        """Give the group's messages of one rank to live consumers. After `end_ns` they fall behind instead,
        and catch up later."""
        cdef Py_ssize_t i
        cdef Py_ssize_t offers = 0
        cdef bint time_is_up = monotonic_ns() >= end_ns
        cdef set skipped = commit_group.skipped_pushes
        cdef set replaced = commit_group.replaced_pushes
        cdef bint is_replaced
        cdef LivePush* live_push
        cdef Mailbox mailbox
        cdef Consumer consumer
        cdef DeliveryFrame frame
        cdef const Message* message
        cdef StoredMessage stored
        for i in range(commit_group.live_pushes.count):
            live_push = commit_group.live_push(i)
            if live_push.rank != rank:
                continue
            if skipped and (live_push.uid, live_push.msg_id) in skipped:
                continue
            mailbox = <Mailbox>live_push.mailbox
            if not mailbox.consumers or mailbox.uid != live_push.uid:
                continue
            if not self.mailbox_index.is_visible(mailbox):
                continue
            check(0 <= live_push.message < commit_group.puts.count, b"a message to push is in its group")
            message = &commit_group.puts.messages[live_push.message]
            if message.size == 0:
                # Dropped before it was written.
                continue
            check(message.msg_id == live_push.msg_id, b"a message to push is the one that was added")
            unpack_message(commit_group.puts.stored(message), &stored)
            if mailbox.times is not None and mailbox.times.has_expired(&stored):
                continue
            begin_frame(&frame, mailbox, rank)
            fill_frame(&frame, live_push.msg_id, &stored, message.location)
            is_replaced = replaced and (live_push.uid, live_push.msg_id) in replaced
            for consumer in mailbox.consumers:
                if is_replaced and isinstance(consumer, QueueGroup):
                    continue
                # A replaced message is not in the store any more: who does not get it now never does.
                if time_is_up and not is_replaced:
                    consumer.caught_up = False
                else:
                    consumer.offer(&frame)
                    offers += 1
                    if offers % CLOCK_CHECK_OFFERS == 0:
                        time_is_up = monotonic_ns() >= end_ns
                if not consumer.caught_up and (
                    consumer.state == IDLE or consumer.state == PARKED and consumer.wants(rank)
                ):
                    self.catch_up_queue.add(consumer)
        return 0

    cdef int finish_deletes(self, CommitGroup commit_group, Py_ssize_t first, bint durable) except -1:
        """Tell queue groups whether the commit group's deletions, from index `first` on, are durable."""
        cdef Py_ssize_t i
        cdef PendingDelete* pending_delete
        cdef Mailbox mailbox
        cdef QueueGroup group
        cdef bint loose
        cdef Py_ssize_t position
        for i in range(first, commit_group.pending_deletes.count):
            pending_delete = commit_group.pending_delete(i)
            mailbox = <Mailbox>pending_delete.mailbox
            if not mailbox.groups or mailbox.uid != pending_delete.uid:
                continue
            loose = False
            position = 0
            for _ in range(len(mailbox.groups)):
                group = next_group(mailbox.groups, &position)
                if durable:
                    group.deletion_durable(pending_delete.msg_id)
                else:
                    group.deletion_failed(pending_delete.msg_id)
                loose = loose or not durable or (len(group.members) == 0 and not group.is_needed())
            if loose:
                for group in list(mailbox.groups.values()):
                    if not durable or not group.is_needed():
                        self.catch_up_or_drop(group)
        return 0

    def release(self, CommitGroup commit_group not None) -> None:
        """The commit group is durable: send replies, then messages, the most urgent first."""
        cdef Py_ssize_t i
        cdef int rank
        cdef uint64_t end_ns
        self.advance_durable(commit_group)
        self.finish_deletes(commit_group, 0, True)
        failure = call_each(commit_group.deferred, True)
        for i in range(commit_group.replies.count):
            self.answer(commit_group.reply(i), commit_group.reply_subject(commit_group.reply(i)))
        if self.pending_work.hurried:
            self.pending_work.write_to_waiting()
        end_ns = monotonic_ns() + 2 * self.pending_work.share_ns()
        for rank in range(RANKS):
            if (commit_group.live_ranks >> rank) & 1:
                self.push(commit_group, rank, end_ns)
        if failure is not None:
            raise failure

    def fail(self, CommitGroup commit_group not None, bytes error not None, bint stored) -> None:
        """The group's last batch failed: answer its commands with `error` and drop them. What was written
        before stays in the group. `stored`: the store has the batch's deletions all the same."""
        cdef Py_ssize_t i
        cdef const PendingReply* pending_reply
        self.finish_deletes(commit_group, commit_group.pending_deletes.written, stored)
        for i in range(commit_group.replies.written, commit_group.replies.count):
            pending_reply = commit_group.reply(i)
            self.router.answer(
                <Client>pending_reply.requester, commit_group.reply_subject(pending_reply), view_of(error)
            )
        self.have_composed_read(commit_group)
        failure = call_each(commit_group.drop_unwritten(), False)
        if failure is not None:
            raise failure

    cdef int have_composed_read(self, CommitGroup commit_group) except -1:
        """A group has failed, but messages that the broker composed may be stored. Live consumers of their
        mailboxes read the store again when it is known."""
        cdef Mailbox mailbox
        cdef Consumer consumer
        for mailbox, uid, _ in commit_group.composed:
            if mailbox.uid == <uint64_t>uid and mailbox.consumers:
                for consumer in mailbox.consumers:
                    consumer.caught_up = False
                    consumer.live_from_id = mailbox.next_id
        return 0

    cdef int catch_up_one(self, Consumer consumer, store) except -1:
        cdef CatchUpResult outcome
        check(consumer.state == IDLE and not consumer.caught_up, b"a consumer that catches up is not queued")
        if isinstance(consumer, QueueGroup) and not (<QueueGroup>consumer).members:
            # Its last failed deliveries were stored.
            return 0 if (<QueueGroup>consumer).is_needed() else self.catch_up_or_drop(<QueueGroup>consumer)
        outcome = consumer.catch_up(store)
        if outcome == MORE_TO_GIVE:
            self.catch_up_queue.add(consumer)
        elif outcome == NO_RECEIVER:
            consumer.state = PARKED
            consumer.park()
        return 0

    def catch_up(self, store) -> None:
        """Read the store for consumers that are behind, a share each, while the turn has time for it. Those
        that it does not reach come first in the next turn.

        A read that fails is raised after the others had their share. That consumer waits for `read_again`.
        """
        cdef Consumer consumer
        cdef Py_ssize_t left = len(self.catch_up_queue.consumers)
        # Writing to the sockets takes about as long again.
        cdef uint64_t end_ns = monotonic_ns() + self.pending_work.share_ns()
        failure = None
        while left:
            left -= 1
            consumer = self.catch_up_queue.consumers.popleft()
            if consumer.state != QUEUED:
                continue
            consumer.state = IDLE
            if consumer.caught_up or not self.mailbox_index.is_visible(consumer.mailbox):
                continue
            try:
                self.catch_up_one(consumer, store)
            except Exception as error:
                failure = error
                consumer.state = QUEUED
                self.unreadable[consumer] = error
            if monotonic_ns() + <uint64_t>self.pending_work.dirty_count * WRITE_NS >= end_ns:
                break
        if self.catch_up_queue.consumers:
            self.pending_work.schedule_end()
        if failure is not None:
            raise failure

    cdef int store_failures(self) except -1:
        """Store a share of the failed deliveries, at the end of a turn."""
        try:
            self.group_work.store_some()
        except self.store_errors:
            # `tick` tries again, and reports it.
            pass
        return 0

    def tick(self) -> bool:
        """Give out again what has waited for its time, and store failed deliveries that could not be stored
        before. Returns whether there is more to do. Raises what the store raises."""
        more = self.group_work.timers.run_due(self.mailbox_index.expiry_clock_ms, monotonic_ns() + TICK_NS)
        self.group_work.store_some()
        return more

    @property
    def failed_deliveries(self) -> int:
        """Deliveries to members of queue groups that ended without an answer."""
        return self.group_work.failures.counted

    def read_again(self):
        """Have the next `catch_up` retry failed reads. Returns the exception of one of them, or None."""
        cdef Consumer consumer
        unreadable, self.unreadable = self.unreadable, {}
        for consumer in unreadable:
            consumer.state = IDLE
            self.catch_up_queue.add(consumer)
        return next(iter(unreadable.values()), None)

    @property
    def has_catch_up(self) -> bool:
        """Whether a consumer waits to catch up."""
        return len(self.catch_up_queue.consumers) > 0

    def writable_again(self, Client client not None) -> None:
        """The client's socket drained: write its output and queue the consumers that waited for it."""
        cdef Consumer consumer
        client.writable = True
        client.mailbox_bytes_unsent = False
        if client.out.size and not client.dirty:
            client.touch()
        if self.events.behind:
            self.events.send_states(client)
        parked, client.parked = client.parked, {}
        for consumer in parked:
            if consumer.state == PARKED:
                consumer.state = IDLE
                self.catch_up_queue.add(consumer)

    def options_changed(self, Mailbox mailbox not None) -> None:
        """The options of the mailbox changed: its queue groups follow."""
        cdef QueueGroup group
        if mailbox.groups:
            for group in mailbox.groups.values():
                group.read_options()

    def fall_behind(self, Mailbox mailbox not None) -> None:
        """A failed commit group has left messages in the mailbox: its consumers read them from the store once
        they are durable."""
        cdef Consumer consumer
        if mailbox.consumers:
            for consumer in mailbox.consumers:
                consumer.caught_up = False
                consumer.live_from_id = mailbox.next_id

    def restart(self, Mailbox mailbox not None) -> None:
        """The mailbox was created or has ended: its consumers start again."""
        cdef Consumer consumer
        if mailbox.consumers:
            for consumer in list(mailbox.consumers):
                consumer.restart()
                if self.unreadable.pop(consumer, None) is not None:
                    consumer.state = IDLE
                if isinstance(consumer, QueueGroup):
                    self.catch_up_or_drop(<QueueGroup>consumer)
                elif consumer.state == IDLE:
                    self.catch_up_queue.add(consumer)
