"""One client as those who deliver to it see it: what it negotiated, subscribed to and is still to be written.

Data flows one way: `Subscription.send` writes a frame into `Client.out`, the first frame of a turn puts the
client on the agenda, and the end of the turn hands everything to the socket in one write.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport Limits
from mq9fast._core.base.view cimport View
from mq9fast._core.protocol.write_buffer cimport WriteBuffer
from mq9fast._core.pubsub.permissions cimport SubjectFilter


cdef enum:
    TURN_NS = 2_000_000
    MAX_RESUMED = 16       # clients that are read from again in one turn, each of which may fill a read
    CLOCK_CHECK_COST = 64  # deliveries, or as much work, after which the time is looked at


cdef enum PauseReason:
    # Why the broker does not read from a client's socket. It reads while there is no reason.
    PAUSE_STALLED = 1         # the store, or a receiver of its messages, is behind
    PAUSE_QUOTA = 2           # the client used up its share of the turn
    PAUSE_CONNECT = 4         # its CONNECT is being checked, and enough was read ahead
    PAUSE_STOPPING = 8        # the broker stops


cdef class PendingWork:
    """What the end of this turn of the event loop has to visit."""
    cdef readonly Limits limits
    cdef object engine        # schedule() and end_turn(): the Engine sets it in its constructor
    # How long a turn handles what it reads, or pushes what it made durable. One client has half of it, and so
    # has the pump, and what earlier turns left over: a turn is short, however many clients there are.
    cdef public uint64_t turn_ns
    cdef uint64_t ends_ns  # until when this one handles what it reads; none is under way while not awake
    cdef Py_ssize_t cost                    # of what was handled since the time was looked at, in deliveries
    cdef Py_ssize_t dirty_count
    cdef Client dirty  # the last client that has bytes to write, which knows the one before it
    cdef list closing                       # clients to close
    cdef list stalled         # clients that are paused for PAUSE_STALLED
    cdef list max_reached                   # subscriptions that had their last delivery
    cdef object over_quota    # a deque of clients that are paused for PAUSE_QUOTA, the longest waiting first
    cdef bint end_scheduled                 # the end of the turn is to come
    cdef bint in_read                       # who holds it sees to the end of the turn
    cdef bint ending                        # the turn ends, and its flush is to come
    cdef public uint64_t now_ms             # of this turn or the last tick, broker time in milliseconds
    cdef readonly uint64_t slow_consumers   # clients cut off because they did not read
    cdef public uint64_t stale_connections  # clients cut off because nothing was heard of them

    # Of every client, those closed included, as of the last flush.
    cdef readonly uint64_t out_messages
    cdef readonly uint64_t out_bytes

    cpdef int schedule_end(self) except -1
    cdef bint is_spent(self) noexcept
    cdef int note_dirty(self, Client client) except -1
    cpdef void begin(self) noexcept
    cpdef int flush(self) except -1
    cpdef int close_clients(self) except -1
    cpdef int resume_over_quota(self) except -1
    cdef void note_output(self, Client client) noexcept


cdef class Client:
    # Who it is.
    cdef readonly uint64_t cid
    # The socket, as an object with write(bytes), close(), pause() and resume(). None once it is gone.
    cdef public object connection
    cdef readonly dict subscriptions      # sid -> Subscription
    cdef dict awaiting_answers            # those past their last delivery that still hold messages, as keys

    # What it says of itself in CONNECT, for monitoring; None until then.
    cdef public str name
    cdef public str lang
    cdef public str version

    # What it negotiated in CONNECT.
    cdef public bint verbose
    cdef public bint pedantic
    cdef public bint echo
    cdef public bint headers
    cdef public bint no_responders

    # What goes to it.
    cdef PendingWork pending_work
    cdef WriteBuffer out
    cdef readonly bint writable              # false while the transport holds more than its high-water mark
    cdef readonly bint closing               # nothing more is read from it or delivered to it
    cdef readonly bytes close_reason         # why it is doomed, as -ERR said it; None where nothing was said
    cdef bint dirty                          # on the agenda with bytes to write
    cdef Client dirty_before                 # the client that was put there before it
    cdef int paused           # the set of PauseReasons
    cdef readonly bint connect_pending       # for the verdict on its CONNECT: what follows is kept
    cdef Limits limits
    cdef uint64_t out_messages_at_pause      # out_messages when writable became false, as mailboxes leave it
    cdef readonly bint mailbox_bytes_unsent  # of a mailbox from which it unsubscribed
    cdef dict parked                         # mailbox sources that wait for its socket, as keys

    # What it has done.
    cdef readonly uint64_t in_messages
    cdef readonly uint64_t in_bytes
    cdef readonly uint64_t out_messages
    cdef readonly uint64_t out_bytes
    cdef readonly uint64_t started_ms     # broker time in milliseconds, as the next
    cdef readonly uint64_t active_ms      # when it last sent or was sent messages, or subscribed
    cdef uint64_t noted_messages          # of out_messages and out_bytes, what the agenda has counted
    cdef uint64_t noted_bytes

    cdef int touch(self) except -1
    cdef int write_line(self, View line) except -1
    cdef int begin_close(self, bytes error) except -1
    cdef int stall(self) except -1
    cdef int pause(self, PauseReason reason) except -1
    cdef int resume(self, PauseReason reason) except -1
    cdef int continue_work(self, PauseReason reason) except -1
    cdef int read_unless_paused(self) except -1
    cdef void left_mailbox(self) noexcept
    cdef int drop_slow_consumer(self) except -1


cdef class Subscription:
    cdef readonly Client client
    cdef readonly bytes sid
    cdef readonly bytes subject
    cdef readonly bytes queue            # None outside queue groups
    cdef SubjectFilter filter            # what its client may have of the messages that match; None = all
    cdef readonly uint64_t maximum       # ends after so many deliveries; 0 = no end
    cdef readonly uint64_t delivered

    cdef int write(self, View subject, View reply, View header, View payload) except -1
    cdef int send(self, View subject, View reply, View header, View payload) except -1

    cdef inline bint max_reached(self) noexcept:
        return self.maximum != 0 and self.delivered >= self.maximum
