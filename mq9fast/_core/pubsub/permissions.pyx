"""The subjects that one user may publish to and subscribe to; the contract is in permissions.pxd."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.view cimport View, empty_view, slice_from, starts_with, to_bytes, view_of
from mq9fast._core.protocol.address cimport split_filter, split_priority
from mq9fast._core.protocol.literals cimport MSG_PREFIX, PRIORITIES, RANKS, Rank
from mq9fast._core.protocol.subject cimport covers, overlap

cdef enum:
    MAX_CACHED_SUBJECTS = 1024
    MAX_CACHED_SUBJECT_BYTES = 256   # the result for a longer subject is not cached
    MAX_FILTERS = 256                # shared filters of a user, one for each set of denied patterns


cdef list names_of(View subject):
    """The subjects by which permissions match a message: two for a mailbox, else one."""
    cdef View address
    cdef Rank rank
    if not starts_with(subject, MSG_PREFIX):
        return [to_bytes(subject)]
    if not split_priority(slice_from(subject, MSG_PREFIX.size), &address, &rank):
        return [to_bytes(subject)]
    return mailbox_names(address, rank)


cdef list mailbox_names(View address, int rank):
    """The two subjects of a message of this rank to a mailbox."""
    cdef bytes plain = to_bytes(MSG_PREFIX) + to_bytes(address)
    return [plain, plain + b"." + to_bytes(PRIORITIES[rank])]


cdef bint any_covers(tuple patterns, list names) except *:
    for pattern in patterns:
        for name in names:
            if covers(view_of(<bytes>pattern), view_of(<bytes>name)):
                return True
    return False


cdef class SubjectFilter:
    """The subjects that `allow` covers (None: every subject) and `deny` does not cover."""

    def __cinit__(self, tuple allow, tuple deny not None, uint64_t seed):
        self.allow = allow
        self.deny = deny
        self.seed = seed
        self.cache = BytesMap(seed)

    cdef bint allows(self, View subject) except *:
        """Whether the literal subject is allowed."""
        cdef PyObject* cached = self.cache.find(subject)
        cdef bint allowed
        if cached is not NULL:
            return <object>cached is True
        allowed = self.check(subject)
        if subject.size <= MAX_CACHED_SUBJECT_BYTES:
            if self.cache.size >= MAX_CACHED_SUBJECTS:
                self.cache = BytesMap(self.seed)
            self.cache.insert(to_bytes(subject), allowed)
        return allowed

    cdef bint check(self, View subject) except *:
        names = names_of(subject)
        return (self.allow is None or any_covers(self.allow, names)) and not any_covers(self.deny, names)


cdef class Permissions:
    """The permissions of a user, as tuples of patterns: valid subjects that may have wildcards.

    Entries for subscriptions are pairs (pattern, queue). An entry with a queue, which may have wildcards too,
    concerns only subscriptions in such queue groups. An `allow` of None allows everything.

    `responses`: None, or how many messages may be published to the reply subject of each message received,
    and for how many milliseconds; 0 means no limit. It needs a `publish_allow`.
    """

    def __cinit__(
        self, tuple publish_allow, tuple publish_deny not None, tuple subscribe_allow,
        tuple subscribe_deny not None, uint64_t seed, tuple responses=None,
    ):
        if publish_allow is not None or publish_deny:
            self.publish = SubjectFilter(publish_allow, publish_deny, seed)
        self.allow = subscribe_allow
        self.deny = subscribe_deny
        self.filters = {}
        self.seed = seed
        if responses is not None:
            self.allows_responses = True
            self.max_responses, self.responses_expire_ms = responses

    cdef bint may_publish(self, View subject) except *:
        return self.publish is None or self.publish.allows(subject)

    cdef bint may_subscribe(self, View subject, View queue) except *:
        """Whether SUB is allowed; `queue` is empty for a plain subscription. A SUB to a mailbox is allowed if
        it is allowed for each priority that it covers."""
        cdef View address
        cdef int ranks = 0
        cdef int rank
        if not starts_with(subject, MSG_PREFIX):
            return self.may_subscribe_as([to_bytes(subject)], queue)
        if not split_filter(slice_from(subject, MSG_PREFIX.size), &address, &ranks):
            return self.may_subscribe_as([to_bytes(subject)], queue)
        for rank in range(RANKS):
            if ranks & (1 << rank):
                if not self.may_subscribe_as(mailbox_names(address, rank), queue):
                    return False
        return True

    cdef bint may_name(self, View address) except *:
        """Whether the client may name the mailbox as a place for answers: it may send to it or read it."""
        cdef bytes subject = to_bytes(MSG_PREFIX) + to_bytes(address)
        return self.may_publish(view_of(subject)) or self.may_subscribe(view_of(subject), empty_view())

    cdef bint may_subscribe_as(self, list names, View queue) except *:
        """Whether SUB to a subject with these `names` is allowed.

        Entries with a queue do not concern plain subscriptions. For a subscription in a queue group they
        decide alone, if any of them matches the subject.
        """
        cdef bint allowed_plain = self.allow is None
        cdef bint has_queue_entry = False
        cdef bint allowed_in_queue = False
        for subject, group in self.allow or ():
            if not any_covers((subject,), names):
                continue
            if group is None:
                allowed_plain = True
            elif queue.size:
                has_queue_entry = True
                allowed_in_queue = allowed_in_queue or covers(view_of(<bytes>group), queue)
        if not (allowed_in_queue if has_queue_entry else allowed_plain):
            return False
        for subject, group in self.deny:
            if self.applies_to(group, queue) and any_covers((subject,), names):
                return False
        return True

    cdef SubjectFilter filter_of(self, View subject, View queue):
        """The filter for messages to an allowed subscription to `subject`; None if it may receive all that
        match. `queue` is empty for a plain subscription."""
        cdef tuple denied = tuple([pattern for pattern, group in self.deny if self.applies_to(group, queue)])
        for pattern in denied:
            if overlap(view_of(<bytes>pattern), subject):
                return self.shared_filter(denied)
        return None

    cdef bint applies_to(self, bytes group, View queue) noexcept:
        """Whether an entry with the queue pattern `group` (None: every subscription) concerns `queue`."""
        return group is None or (queue.size > 0 and covers(view_of(group), queue))

    cdef SubjectFilter shared_filter(self, tuple denied):
        """The filter for these denied patterns. Subscriptions share it, and so its cache."""
        found = self.filters.get(denied)
        if found is None:
            if len(self.filters) >= MAX_FILTERS:
                self.filters.clear()
            found = self.filters[denied] = SubjectFilter(None, denied, self.seed)
        return found
