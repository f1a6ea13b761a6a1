"""The subjects that one user may publish to and subscribe to: allow and deny lists, as in nats-server.

The authenticator makes a `Permissions` for each configured user. `Session` checks each PUB and SUB against
it. The router checks each delivery to a subscription that has a `SubjectFilter`.

A message of a mailbox has two subjects, `$mq9.AI.MAILBOX.MSG.{mail_address}` and the same with its priority.
An entry matches the message if it matches either: so a list can name a mailbox, or one priority of it.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.view cimport View


cdef class SubjectFilter:
    """Allows or denies literal subjects. It caches its results."""
    cdef tuple allow             # patterns as bytes; None = every subject
    cdef tuple deny              # patterns as bytes
    cdef uint64_t seed
    cdef BytesMap cache          # subject -> True or False

    cdef bint allows(self, View subject) except *
    cdef bint check(self, View subject) except *


cdef class Permissions:
    cdef SubjectFilter publish        # None = every subject
    cdef tuple allow                  # for SUB: pairs (pattern, queue or None); None = everything
    cdef tuple deny                   # for SUB: pairs (pattern, queue or None)
    cdef dict filters                 # tuple of denied patterns -> the SubjectFilter shared by subscriptions
    cdef uint64_t seed
    cdef bint allows_responses             # see responses.pxd
    cdef uint64_t max_responses            # to each reply subject; 0 = no limit
    cdef uint64_t responses_expire_ms      # 0 = never

    cdef bint may_publish(self, View subject) except *
    cdef bint may_subscribe(self, View subject, View queue) except *
    cdef bint may_name(self, View address) except *
    cdef bint may_subscribe_as(self, list names, View queue) except *
    cdef SubjectFilter filter_of(self, View subject, View queue)
    cdef bint applies_to(self, bytes group, View queue) noexcept
    cdef SubjectFilter shared_filter(self, tuple denied)
