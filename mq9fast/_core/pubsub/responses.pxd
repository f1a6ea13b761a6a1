"""The subjects to which one client may publish because a message that it received had them as its reply.

These are nats-server's `allow_responses`. `Subscription.write` notes the reply subjects, and the session asks
when the client may not publish to a subject otherwise. A client without such permissions has no `Responses`.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.pubsub.permissions cimport Permissions, SubjectFilter


cdef class Responses:
    cdef SubjectFilter publish           # what it allows is not noted
    cdef uint64_t maximum                # messages to each reply subject; 0 = no limit
    cdef uint64_t expires_ms             # after the delivery; 0 = never
    cdef object replies                  # OrderedDict, the oldest first: subject -> [messages, broker time]

    cdef bint is_of(self, Permissions permissions) noexcept
    cdef int note(self, View reply, uint64_t now_ms) except -1
    cdef int forget_old(self, uint64_t now_ms) except -1
    cdef bint is_over(self, list noted, uint64_t now_ms) except *
    cdef bint allows(self, View subject, uint64_t now_ms) except *


cdef Responses responses_for(Permissions permissions, Responses before)
