"""What members of one queue group gave back without doing it, until the group may give it out again.

Each failed delivery is stored first: what a member with thousands leaves behind is stored in shares, and none
of it is given out before its share is durable. Then a message waits for its time, if it has to. `QueueGroup`
creates a `GivenBack` at its first failed delivery.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from mq9fast._core.base.timers cimport Timed, Timers
from mq9fast._core.base.view cimport View
from mq9fast._core.delivery.catch_up_queue cimport CatchUpQueue
from mq9fast._core.delivery.consumer cimport Consumer
from mq9fast._core.delivery.failures cimport Failures
from mq9fast._core.delivery.in_flight cimport InFlight, InFlightTable
from mq9fast._core.mailbox.failed_deliveries cimport Failure
from mq9fast._core.mailbox.mailbox cimport Mailbox


cdef class GroupWork:
    # What all queue groups share.
    cdef CatchUpQueue catch_up_queue
    cdef Failures failures
    cdef Timers timers
    cdef uint64_t last_group      # the number of the newest group
    cdef object bury              # bury(mailbox, msg_id, deliveries): makes a dead letter; false = later
    cdef object unstored          # a deque of those GivenBack that have failed deliveries to store

    cdef int store_some(self) except -1


cdef class GivenBack(Timed):
    cdef GroupWork work
    cdef Mailbox mailbox
    cdef Consumer group
    cdef InFlightTable table
    cdef bint queued              # it is in `GroupWork.unstored`

    cdef int queue(self) except -1
    cdef int store_one(self, InFlight* entry, int64_t delay_ms) except -1
    cdef Py_ssize_t store_share(self, Py_ssize_t most) except -1
    cdef int share_done(self, list ids, bint durable) except -1
    cdef bint take_back(self, InFlight* entry) except -1
    cdef bint must_wait(self, InFlight* entry) except -1
    cdef bint is_dead(self, const Failure* failure) except -1
    cdef bint bury(self, uint64_t msg_id) except -1
    cdef bint is_storing(self) noexcept


cdef bytes with_deliveries(View header, uint32_t deliveries)
