"""Reply subjects to which a client may publish; the contract is in responses.pxd."""

from collections import OrderedDict

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, to_bytes
from mq9fast._core.pubsub.permissions cimport Permissions

cdef enum:
    # Of one client; the oldest are forgotten. Without `expires` or a maximum they would grow for ever.
    MAX_REPLIES = 65536


cdef Responses responses_for(Permissions permissions, Responses before):
    """The `Responses` of a client with these permissions; `before` are those that it had. Either may be None.

    A reload or another CONNECT with the same rules forgets no reply subject.
    """
    cdef Responses responses
    if permissions is None or not permissions.allows_responses:
        return None
    responses = before if before is not None and before.is_of(permissions) else Responses()
    responses.publish = permissions.publish
    responses.maximum = permissions.max_responses
    responses.expires_ms = permissions.responses_expire_ms
    return responses


cdef class Responses:
    """Created by `responses_for`."""

    def __cinit__(self):
        self.replies = OrderedDict()

    cdef bint is_of(self, Permissions permissions) noexcept:
        return (
            self.maximum == permissions.max_responses and self.expires_ms == permissions.responses_expire_ms
        )

    cdef int note(self, View reply, uint64_t now_ms) except -1:
        """The client received a message with this reply subject."""
        cdef bytes subject
        if self.publish.allows(reply):
            return 0
        subject = to_bytes(reply)
        self.replies[subject] = [0, now_ms]
        self.replies.move_to_end(subject)
        return self.forget_old(now_ms)

    cdef int forget_old(self, uint64_t now_ms) except -1:
        while len(self.replies) > MAX_REPLIES or self.is_over(next(iter(self.replies.values())), now_ms):
            self.replies.popitem(False)
        return 0

    cdef bint is_over(self, list noted, uint64_t now_ms) except *:
        return self.expires_ms != 0 and now_ms > <uint64_t>noted[1] + self.expires_ms

    cdef bint allows(self, View subject, uint64_t now_ms) except *:
        """Whether the client may publish to `subject` now; if so, this counts as one message."""
        cdef bytes name = to_bytes(subject)
        cdef list noted = self.replies.get(name)
        if noted is None:
            return False
        if self.is_over(noted, now_ms):
            del self.replies[name]
            return False
        noted[0] += 1
        if self.maximum and <uint64_t>noted[0] >= self.maximum:
            del self.replies[name]
        return True
