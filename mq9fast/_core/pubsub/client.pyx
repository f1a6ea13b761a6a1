"""A client as routing and delivery see it; the contract is in client.pxd."""

from collections import deque

from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.limits cimport Limits
from mq9fast._core.base.view cimport View, empty_view, put, put_byte, put_crlf, put_decimal, view, view_of
from mq9fast._core.protocol.literals cimport HMSG_START, MSG_START
from mq9fast._core.protocol.write_buffer cimport MAX_BORROWED, WriteBuffer

cdef enum:
    MAX_NUMBERS_BYTES = 64      # verb, sizes, spaces and line ends of one frame
    MIN_BORROWED_BYTES = 8192   # copying a smaller payload costs less than a piece of its own in a write
    MIN_LENDING_BYTES = 65536
    EXAMINED_FOR_WAITING = 64   # clients with output that one look for waiting clients examines
    # What one read takes in a hurried turn: as little as the time below asks for, between these bounds.
    MIN_HURRIED_READ_BYTES = 32768
    MAX_HURRIED_READ_BYTES = 262144
    # How long such a turn is to work for clients over their share, the commit of what they sent included.
    HURRIED_WORK_NS = 300_000


cdef void check_dirty_list(PendingWork pending_work) noexcept:
    cdef Client client = pending_work.first_dirty
    cdef Py_ssize_t count = 0
    while client is not None:
        check(client.dirty, b"a client in the list of output is dirty")
        client = client.next_dirty
        count += 1
    check(count == pending_work.dirty_count, b"the list of output is as long as its count")


cdef class PendingWork:
    """One for each broker."""

    def __cinit__(self, Limits limits not None):
        self.limits = limits
        self.closing = []
        self.stalled = []
        self.borrowers = []
        self.max_reached = []
        self.over_share = deque()
        self.turn_ns = TURN_NS
        self.hurried_read_bytes = MAX_HURRIED_READ_BYTES // 2

    cpdef int schedule_end(self) except -1:
        """Have the end of the turn run, once."""
        if not self.end_scheduled:
            self.end_scheduled = True
            self.ends_ns = monotonic_ns() + self.turn_ns
            if not self.in_read:
                self.engine.schedule()
        return 0

    cdef bint time_is_up(self) noexcept:
        """Whether the turn's time for handling reads is up."""
        self.cost = 0
        return self.end_scheduled and monotonic_ns() >= self.ends_ns

    cdef void note_waiting(self, Client client, uint64_t now_ns) noexcept:
        """The client sent a single request. If it did so shortly before, and not much at once, it sends one
        message at a time: end turns soon, for a while."""
        cdef bint is_next = now_ns < client.single_ns + HURRY_NS
        client.single_ns = now_ns
        if is_next and now_ns >= client.bulk_ns + HURRY_NS:
            client.waits = self.hurried = True
            self.hurried_until_ns = now_ns + HURRY_NS

    cdef void note_work(self, uint64_t ns) noexcept:
        """A hurried turn worked so long for clients over their share: adapt what their next reads take. A
        byte costs more in small messages, and while the system has no free memory for the disk."""
        cdef Py_ssize_t size = self.hurried_read_bytes
        size += -(size // 4) if ns > HURRIED_WORK_NS else size // 8
        size = max(size, <Py_ssize_t>MIN_HURRIED_READ_BYTES)
        self.hurried_read_bytes = min(size, <Py_ssize_t>MAX_HURRIED_READ_BYTES)

    cdef int write_to_waiting(self) except -1:
        """Write to clients that wait for one reply, before others get their messages."""
        cdef Client client = self.first_dirty
        cdef int left = EXAMINED_FOR_WAITING
        while client is not None and left:
            if client.waits and client.out.size:
                client.waits = False
                if client.writable and client.connection is not None:
                    client.connection.write(client.out.take())
            client = client.next_dirty
            left -= 1
        return 0

    cdef void begin(self) noexcept:
        """Start ending the turn. New work other than output schedules another end."""
        if self.hurried:
            self.hurried = monotonic_ns() < self.hurried_until_ns
        self.end_scheduled = False
        self.ending = True

    cdef int close_clients(self) except -1:
        """Close the clients for which `begin_close` was called."""
        cdef Client client
        try:
            while self.closing:
                client = self.closing.pop()
                if client.connection is not None:
                    client.connection.close()
        finally:
            if self.closing:
                self.schedule_end()
        return 0

    def end_now(self) -> None:
        """End the turn at once. Called by the event loop, not from within a turn."""
        self.engine.end_turn()

    def resume_stalled(self) -> None:
        """Read from the stalled clients again. A client that is stalled again waits for the next call."""
        cdef Client client
        cdef list stalled
        cdef uint64_t end_ns = monotonic_ns() + self.share_ns()
        cdef Py_ssize_t resumed = 0
        stalled, self.stalled = self.stalled, []
        try:
            while stalled:
                client = stalled.pop()
                client.waits_for = None
                if client.paused & PAUSE_SHARE:
                    client.resume(PAUSE_STALLED)
                elif resumed < MAX_RESUMED and monotonic_ns() < end_ns:
                    client.continue_work(PAUSE_STALLED)
                    resumed += 1
                else:
                    client.paused ^= PAUSE_STALLED | PAUSE_SHARE
                    self.over_share.append(client)
        finally:
            self.stalled += stalled
            if self.over_share or self.stalled:
                self.schedule_end()

    cdef int resume_senders(self, Client receiver) except -1:
        """The transport of the receiver took its output: continue with the clients that waited for that."""
        cdef Client client
        cdef list others = []
        receiver.is_waited_for = False
        for client in self.stalled:
            if client.waits_for is not receiver:
                others.append(client)
                continue
            client.waits_for = None
            if client.paused & PAUSE_SHARE:
                client.resume(PAUSE_STALLED)
            else:
                client.paused ^= PAUSE_STALLED | PAUSE_SHARE
                self.over_share.append(client)
        self.stalled = others
        return 0

    cdef int note_dirty(self, Client client) except -1:
        """The client has output: add it to the list."""
        check(not client.dirty and client.next_dirty is None, b"a client is once in the list of output")
        client.dirty = True
        self.dirty_count += 1
        client.next_dirty = self.first_dirty
        self.first_dirty = client
        return 0 if self.ending else self.schedule_end()

    cdef void note_output(self, Client client) noexcept:
        """Count the client's new output. Once a turn is cheaper than once a message."""
        if client.out_messages != client.noted_messages:
            self.out_messages += client.out_messages - client.noted_messages
            self.out_bytes += client.out_bytes - client.noted_bytes
            client.noted_messages = client.out_messages
            client.noted_bytes = client.out_bytes
            client.active_ms = self.now_ms

    cdef void lend(self, View lendable) noexcept:
        """Let the output of clients borrow from these bytes until `end_lending`, if they are many: a write
        costs more than copying a few."""
        if lendable.size >= MIN_LENDING_BYTES:
            self.lendable = lendable

    cdef int end_lending(self) except -1:
        """The bytes are about to go: write what is borrowed of them."""
        cdef Client client
        self.lendable = empty_view()
        while self.borrowers:
            client = self.borrowers.pop()
            client.write_borrowed()
        return 0

    cpdef int flush(self) except -1:
        """One write for each client whose transport accepts it. Others wait for `Delivery.writable_again`."""
        cdef Client client
        self.ending = False
        if CHECKED:
            check_dirty_list(self)
        try:
            while self.first_dirty is not None:
                client = self.first_dirty
                self.first_dirty = client.next_dirty
                self.dirty_count -= 1
                client.next_dirty = None
                client.dirty = False
                self.note_output(client)
                if client.connection is None:
                    client.out.discard()
                elif client.writable and client.out.size:
                    client.connection.write(client.out.take())
                    if client.writable:
                        client.mailbox_bytes_unsent = False
                    if client.is_waited_for:
                        self.resume_senders(client)
        finally:
            # A write has raised: the next turn writes to the rest.
            if self.first_dirty is not None:
                self.schedule_end()
        return 0

    cdef int resume_over_share(self) except -1:
        """Continue with some of the clients that used up their share; the others come first next time."""
        cdef Client client
        cdef Py_ssize_t left
        cdef uint64_t end_ns
        if not self.over_share:
            return 0
        end_ns = monotonic_ns() + self.share_ns()
        left = min(<Py_ssize_t>len(self.over_share), <Py_ssize_t>MAX_RESUMED)
        try:
            while left and self.over_share:
                client = self.over_share.popleft()
                client.continue_work(PAUSE_SHARE)
                left = 0 if monotonic_ns() >= end_ns else left - 1
        finally:
            if self.over_share:
                self.schedule_end()
        return 0


cdef class Client:
    """Base of Session: the part that routing and delivery use."""

    def __cinit__(self, PendingWork pending_work not None, uint64_t cid, *_, **__):
        self.pending_work = pending_work
        self.cid = cid
        self.limits = pending_work.limits
        self.subscriptions = {}
        self.parked = {}
        self.awaiting_answers = {}
        self.out = WriteBuffer()
        self.descriptor = -1
        self.writable = True
        self.started_ms = self.active_ms = pending_work.now_ms
        # nats-server's defaults until CONNECT.
        self.verbose = self.pedantic = self.echo = True

    @property
    def pending_bytes(self) -> int:
        """Bytes of output that the transport does not have yet."""
        return self.out.size

    cdef int touch(self) except -1:
        if not self.dirty:
            self.pending_work.note_dirty(self)
        if self.out.size <= self.limits.max_pending or self.closing:
            return 0
        if self.writable and self.connection is not None:
            # Too much to keep until the end of the turn. The transport now says whether it accepts more.
            self.connection.write(self.out.take())
        else:
            self.drop_slow_consumer()
        return 0

    cdef bint may_borrow(self, View payload) except *:
        """Whether the output may borrow this payload instead of copying it: it is large, stays in place until
        `end_lending`, and the socket is likely to take it then."""
        cdef View lendable = self.pending_work.lendable
        return (
            payload.size >= MIN_BORROWED_BYTES and self.descriptor >= 0
            and lendable.data <= payload.data and payload.data + payload.size <= lendable.data + lendable.size
            and self.out.borrowed_count < MAX_BORROWED
            and (self.out.borrowed_count > 0 or self.begin_borrowing())
        )

    cdef bint begin_borrowing(self) except *:
        if not self.writable or self.connection is None or self.out.size >= MIN_LENDING_BYTES:
            return False
        if self.connection.unsent_bytes():
            return False
        self.pending_work.borrowers.append(self)
        return True

    cdef int write_borrowed(self) except -1:
        """Write the output before what it borrows goes. The transport gets what the socket does not take."""
        if self.out.borrowed_count == 0:
            return 0
        try:
            self.out.write_borrowed(self.descriptor)
        except MemoryError:
            # A part of a message may be lost.
            return self.begin_close(None)
        return self.touch() if self.out.size else 0

    cdef int drop_slow_consumer(self) except -1:
        self.out.discard()
        self.pending_work.slow_consumers += 1
        return self.begin_close(b"Slow Consumer")

    cdef int write_line(self, View line) except -1:
        """Add a protocol line to the output."""
        self.out.append(line)
        return self.touch()

    cdef int begin_close(self, bytes error) except -1:
        """Close the connection at the end of the turn, after -ERR with the text `error`, if any."""
        if self.closing:
            return 0
        self.closing = True
        self.close_reason = error
        if error is not None:
            self.error(error)
        self.pending_work.closing.append(self)
        return self.pending_work.schedule_end()

    cdef int pause(self, PauseReason reason) except -1:
        """Stop reading from the client until `resume` was called for every reason."""
        if not self.paused and self.connection is not None:
            self.connection.pause()
        self.paused |= reason
        return 0

    cdef int resume(self, PauseReason reason) except -1:
        """The reason is gone. Read from the client again unless another is left."""
        if self.paused & reason:
            self.paused &= ~reason
            self.read_unless_paused()
        return 0

    cdef int read_unless_paused(self) except -1:
        if not self.paused and self.connection is not None:
            self.connection.resume()
        return 0

    cdef int stall(self) except -1:
        """Stop reading from the client until the next `PendingWork.resume_stalled`."""
        if not self.paused & PAUSE_STALLED and self.connection is not None:
            self.pause(PAUSE_STALLED)
            self.pending_work.stalled_clients += 1
            self.pending_work.stalled.append(self)
            self.pending_work.schedule_end()
        return 0

    cdef int stall_for(self, Client receiver) except -1:
        """The same, until the transport of the receiver takes its output, if that is sooner."""
        if not self.paused & PAUSE_STALLED:
            receiver.stalls += 1
        self.stall()
        self.waits_for = receiver
        receiver.is_waited_for = True
        return 0

    cdef int continue_work(self, PauseReason reason) except -1:
        """The reason is gone. Handle what is left of the last read before the client is read from again."""
        return self.resume(reason)

    def stop_reading(self) -> None:
        """The broker stops: read nothing more from the client."""
        self.pause(PAUSE_STOPPING)

    cdef void left_mailbox(self) noexcept:
        """A mailbox subscription ended: some of its messages may still wait for the socket."""
        if not self.writable or self.out.size:
            self.mailbox_bytes_unsent = True

    def error(self, bytes sentence not None) -> None:
        """Add -ERR with this text to the output."""
        self.write_line(view_of(b"-ERR '" + sentence + b"'\r\n"))

    def write(self, bytes line not None) -> None:
        """Add protocol bytes to the output."""
        self.write_line(view_of(line))

    def close_with(self, error: bytes | None) -> None:
        """Close the connection at the end of the turn, after -ERR with the text `error`, if any."""
        self.begin_close(error)

    def take_output(self) -> bytes:
        """Remove and return the output, for the last write before the close."""
        return self.out.take()

    def pause_writing(self) -> None:
        """The transport holds more than its high-water mark."""
        self.writable = False
        self.out_messages_at_pause = self.out_messages

    @property
    def messages_wait(self) -> bool:
        """Whether plain messages wait for the transport. Consumers deliver none while it is full."""
        return not self.writable and self.out.size > 0 and self.out_messages != self.out_messages_at_pause

    def cut_off(self) -> None:
        """Disconnect the client as a slow consumer: drop its output."""
        self.drop_slow_consumer()

    cdef bint may_name(self, View address) except *:
        """Whether it may name the mailbox as a place for answers: `Session` asks its permissions."""
        return True

    def may_publish(self, bytes subject not None) -> bool:
        """Whether the client may publish to the literal subject. `Session` has permissions."""
        return True

    def may_subscribe(self, bytes subject not None) -> bool:
        """Whether the client may subscribe to the subject, outside queue groups. True, but see Session."""
        return True


cdef class Subscription:
    """One SUB of one client."""

    def __cinit__(
        self, Client client not None, bytes sid not None, bytes subject not None, bytes queue, *_, **__
    ):
        self.client = client
        self.sid = sid
        self.subject = subject
        self.queue = queue

    cdef int send(self, View subject, View reply, View header, View payload) except -1:
        """Deliver a message, and count it for the maximum."""
        self.delivered += 1
        if self.max_reached():
            self.client.pending_work.max_reached.append(self)
        return self.write(subject, reply, header, payload)

    cdef int send_lending(self, View subject, View reply, View header, View payload) except -1:
        """`send`. A large payload is written to the socket at once, instead of being copied."""
        if payload.size < MIN_LENDING_BYTES:
            return self.send(subject, reply, header, payload)
        self.client.pending_work.lend(payload)
        try:
            return self.send(subject, reply, header, payload)
        finally:
            self.client.pending_work.end_lending()

    cdef int write(self, View subject, View reply, View header, View payload) except -1:
        """Write one MSG, or HMSG if there is a header and the client accepts headers."""
        cdef Client client = self.client
        cdef View sid = view_of(self.sid)
        cdef bint borrows = client.may_borrow(payload)
        cdef Py_ssize_t copied = 0 if borrows else payload.size
        cdef char* at
        if not client.headers:
            header = view(NULL, 0)
        at = client.out.reserve(
            subject.size + sid.size + reply.size + header.size + copied + MAX_NUMBERS_BYTES
        )
        at = put(at, HMSG_START if header.size else MSG_START)
        at = put_byte(put(at, subject), c' ')
        at = put_byte(put(at, sid), c' ')
        if reply.size:
            at = put_byte(put(at, reply), c' ')
            if client.responses is not None:
                client.responses.note(reply, client.pending_work.now_ms)
        if header.size:
            at = put_byte(put_decimal(at, <uint64_t>header.size), c' ')
        at = put_crlf(put_decimal(at, <uint64_t>(header.size + payload.size)))
        at = put(at, header)
        if borrows:
            client.out.commit(at)
            client.out.borrow(payload)
        else:
            at = put(at, payload)
        client.out.commit(put_crlf(at))
        client.out_messages += 1
        client.out_bytes += <uint64_t>(header.size + payload.size)
        return client.touch()
