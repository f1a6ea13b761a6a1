"""What one user may publish and subscribe to (NATS authorization: allow and deny lists of subjects).

A message of a mailbox goes by two names, `$mq9.AI.MAILBOX.MSG.{mail_address}` and the same with its priority,
and each list is asked for both: so a list can name a mailbox, or one priority of it.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.view cimport View


cdef class SubjectFilter:
    """Literal subjects; a few of the last verdicts are remembered."""
    cdef tuple allow             # of subjects with wildcards, as bytes; None = every subject
    cdef tuple deny
    cdef uint64_t seed
    cdef BytesMap known          # subject -> True or False

    cdef bint admits(self, View subject) except *
    cdef bint decide(self, View subject) except *


cdef class Permissions:
    cdef SubjectFilter publish        # None = everything
    cdef tuple allow                  # of (subject, queue or None); None = everything
    cdef tuple deny
    cdef dict filters                 # denied subjects -> SubjectFilter of the subscriptions they apply to
    cdef uint64_t seed

    cdef bint may_publish(self, View subject) except *
    cdef bint may_subscribe(self, View subject, View queue) except *
    cdef bint may_subscribe_as(self, list names, View queue) except *
    cdef SubjectFilter filter_of(self, View subject, View queue)
    cdef bint is_of(self, bytes group, View queue) noexcept
    cdef SubjectFilter filter_for(self, tuple denied)
