"""A client as routing and delivery see it: its options, subscriptions and output.

`Subscription.send` writes a frame into `Client.out`. The first frame of a turn adds the client to
`PendingWork`, and the end of the turn gives all its frames to the socket in one write. `Session` adds the
client's protocol.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport Limits
from mq9fast._core.base.view cimport View
from mq9fast._core.protocol.write_buffer cimport WriteBuffer
from mq9fast._core.pubsub.permissions cimport SubjectFilter
from mq9fast._core.pubsub.responses cimport Responses


cdef enum:
    TURN_NS = 2_000_000
    MAX_RESUMED = 16       # clients that continue in one turn; each may read a full buffer
    CLOCK_CHECK_COST = 64  # deliveries, or as much work, between two checks of the clock
    # While a client sends one message at a time, pushes, catching up and clients over their share get a
    # turn's time divided by this.
    HURRIED_SHARE = 8
    # How long a turn is short after such a message.
    HURRY_NS = 250_000_000
    MIN_BULK_BYTES = 65536          # a client that sends as much at once does not send one at a time


cdef enum PauseReason:
    # Why the broker does not read from a client's socket. It reads while there is no reason.
    PAUSE_STALLED = 1         # the store, or a receiver of its messages, is behind
    PAUSE_SHARE = 2           # the client used up its share of the turn
    PAUSE_CONNECT = 4         # its CONNECT is being checked, and enough was read ahead
    PAUSE_STOPPING = 8        # the broker stops


cdef class PendingWork:
    """Clients that the end of this turn has to write to, close or continue with."""
    cdef readonly Limits limits
    cdef object engine        # schedule() and end_turn(): the Engine sets it in its constructor
    # Nanoseconds that a turn may spend on handling reads, and again on live pushes. One client may use half
    # of it, so may catching up, and clients over their share: a turn is short with any number of clients.
    cdef uint64_t turn_ns
    cdef uint64_t ends_ns                   # of this turn, for handling reads; valid while end_scheduled
    cdef uint64_t hurried_until_ns
    cdef readonly bint hurried              # turns are short: a client sends one message at a time
    cdef Py_ssize_t hurried_read_bytes      # what a read takes then
    cdef Py_ssize_t cost                    # since the last check of the clock, in deliveries
    cdef Py_ssize_t dirty_count
    cdef Client first_dirty                 # first of a linked list of clients with output: see next_dirty
    cdef list closing                       # clients to close
    cdef list stalled                       # clients that are paused for PAUSE_STALLED
    cdef View lendable                      # DANGER: what output may borrow now; empty if there is none
    cdef list borrowers                     # clients whose output borrows from it
    cdef list max_reached                   # subscriptions that reached their maximum
    cdef object over_share  # a deque of clients that are paused for PAUSE_SHARE, the longest waiting first
    cdef bint end_scheduled                 # the end of the turn will run
    cdef bint in_read                       # Engine.end_read will end the turn or schedule its end
    cdef bint ending                        # the turn is ending, and `flush` will run
    cdef public uint64_t now_ms             # broker time of this turn
    cdef readonly uint64_t slow_consumers   # clients disconnected because they did not read
    cdef public uint64_t stale_connections  # clients disconnected because they sent nothing
    cdef readonly uint64_t stalled_clients  # how often a client was stalled

    # Counted over all clients, closed ones included, at the last flush.
    cdef readonly uint64_t out_messages
    cdef readonly uint64_t out_bytes

    cpdef int schedule_end(self) except -1
    cdef bint time_is_up(self) noexcept
    cdef void note_waiting(self, Client client, uint64_t now_ns) noexcept
    cdef void note_work(self, uint64_t ns) noexcept
    cdef int write_to_waiting(self) except -1
    cdef int note_dirty(self, Client client) except -1
    cdef void begin(self) noexcept
    cpdef int flush(self) except -1
    cdef int close_clients(self) except -1
    cdef int resume_over_share(self) except -1
    cdef void note_output(self, Client client) noexcept
    cdef void lend(self, View lendable) noexcept
    cdef int end_lending(self) except -1
    cdef int resume_senders(self, Client receiver) except -1

    cdef inline uint64_t share_ns(self) noexcept:
        """How long a turn may catch up, or continue with clients over their share."""
        return self.turn_ns // (2 * HURRIED_SHARE if self.hurried else 2)


cdef class Client:
    cdef readonly uint64_t cid
    # write(bytes), unsent_bytes(), close(), pause() and resume() of the socket; None once it is closed.
    cdef public object connection
    cdef readonly dict subscriptions      # sid -> Subscription
    cdef dict awaiting_answers            # keys: ended subscriptions with messages in flight
    cdef Responses responses              # None unless its permissions allow responses

    # A header block with its name as Mq9-From, for what it sends to mailboxes; None if it signed in without a
    # name.
    cdef public bytes sender_block

    # From CONNECT, for monitoring; None until then.
    cdef public str name
    cdef public str lang
    cdef public str version

    # Options from CONNECT.
    cdef public bint verbose
    cdef public bint pedantic
    cdef public bint echo
    cdef public bint headers
    cdef public bint no_responders

    # Its output.
    cdef PendingWork pending_work
    cdef WriteBuffer out
    cdef public int descriptor               # of a socket that takes the output as it is, or -1
    cdef readonly bint writable              # false while the transport holds more than its high-water mark
    cdef readonly bint closing               # nothing more is handled or delivered
    cdef readonly bytes close_reason         # the text of the -ERR before the close; None = there was none
    cdef bint waits                          # it sends one message at a time, and waits for a reply
    cdef uint64_t single_ns                  # when it last sent a single request, by the monotonic clock
    cdef uint64_t bulk_ns                    # when it last sent much at once
    cdef bint dirty                          # on PendingWork's list of clients with output
    cdef Client next_dirty                   # the next client on that list
    cdef int paused                          # the set of PauseReasons
    cdef Client waits_for                    # the receiver for which it is stalled, or None
    cdef bint is_waited_for                  # clients may be stalled for it
    cdef readonly bint connect_pending       # its CONNECT is being checked: later operations wait
    cdef Limits limits
    cdef uint64_t out_messages_at_pause      # out_messages when `writable` became false
    cdef readonly bint mailbox_bytes_unsent  # of a mailbox from which it unsubscribed
    cdef dict parked                         # keys: consumers that wait for its socket

    # Counters.
    cdef readonly uint64_t in_messages
    cdef readonly uint64_t in_bytes
    cdef readonly uint64_t out_messages
    cdef readonly uint64_t out_bytes
    cdef readonly uint64_t stalls         # how often a client was stalled for it
    cdef readonly uint64_t started_ms     # broker time in milliseconds
    cdef readonly uint64_t active_ms      # broker time of its last message or subscription
    cdef uint64_t noted_messages          # the part of out_messages and out_bytes that PendingWork counted
    cdef uint64_t noted_bytes

    cdef int touch(self) except -1
    cdef bint may_borrow(self, View payload) except *
    cdef bint begin_borrowing(self) except *
    cdef int write_borrowed(self) except -1
    cdef int write_line(self, View line) except -1
    cdef int begin_close(self, bytes error) except -1
    cdef int stall(self) except -1
    cdef int stall_for(self, Client receiver) except -1
    cdef int pause(self, PauseReason reason) except -1
    cdef int resume(self, PauseReason reason) except -1
    cdef int continue_work(self, PauseReason reason) except -1
    cdef int read_unless_paused(self) except -1
    cdef bint may_name(self, View address) except *
    cdef void left_mailbox(self) noexcept
    cdef int drop_slow_consumer(self) except -1


cdef class Subscription:
    cdef readonly Client client
    cdef readonly bytes sid
    cdef readonly bytes subject
    cdef readonly bytes queue            # None outside queue groups
    cdef SubjectFilter filter            # of its client's permissions; None = all messages pass
    cdef readonly uint64_t maximum       # deliveries after which it ends; 0 = never
    cdef readonly uint64_t delivered

    cdef int write(self, View subject, View reply, View header, View payload) except -1
    cdef int send(self, View subject, View reply, View header, View payload) except -1
    cdef int send_lending(self, View subject, View reply, View header, View payload) except -1

    cdef inline bint max_reached(self) noexcept:
        return self.maximum != 0 and self.delivered >= self.maximum
