"""What one user may publish and subscribe to; see permissions.pxd."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.view cimport View, slice_from, starts_with, to_bytes, view, view_of
from mq9fast._core.protocol.address cimport RANKS, Rank, split_filter, split_priority
from mq9fast._core.protocol.subject cimport covers, overlap

cdef enum:
    MAX_KNOWN = 1024             # verdicts remembered, of subjects of at most so many bytes
    MAX_KNOWN_BYTES = 256
    MAX_FILTERS = 256            # kept, one for each set of entries that applies to a subscription
    MSG_BYTES = 20

cdef bytes MSG = b"$mq9.AI.MAILBOX.MSG."
cdef tuple PRIORITIES = (b".critical", b".urgent", b".normal")      # by rank


cdef list names_of(View subject):
    """What a message on a literal subject goes by."""
    cdef View address
    cdef Rank rank
    if starts_with(subject, view_of(MSG)) and split_priority(slice_from(subject, MSG_BYTES), &address, &rank):
        plain = MSG + to_bytes(address)
        return [plain, plain + <bytes>PRIORITIES[<int>rank]]
    return [to_bytes(subject)]


cdef bint any_covers(tuple patterns, list names) except *:
    for pattern in patterns:
        for name in names:
            if covers(view_of(<bytes>pattern), view_of(<bytes>name)):
                return True
    return False


cdef class SubjectFilter:
    """The subjects that `allow` covers (None: all) and `deny` does not."""

    def __cinit__(self, tuple allow, tuple deny not None, uint64_t seed):
        self.allow = allow
        self.deny = deny
        self.seed = seed
        self.known = BytesMap(seed)

    cdef bint admits(self, View subject) except *:
        cdef PyObject* known = self.known.find(subject)
        cdef bint verdict
        if known is not NULL:
            return <object>known is True
        verdict = self.decide(subject)
        if subject.size <= MAX_KNOWN_BYTES:
            if self.known.size >= MAX_KNOWN:
                self.known = BytesMap(self.seed)
            self.known.insert(to_bytes(subject), verdict)
        return verdict

    cdef bint decide(self, View subject) except *:
        names = names_of(subject)
        return (self.allow is None or any_covers(self.allow, names)) and not any_covers(self.deny, names)


cdef class Permissions:
    """The permissions of a user, as tuples of valid subjects with wildcards.

    Those of subscriptions are pairs (subject, queue); a queue, which may have wildcards too, restricts the
    entry to subscriptions of such queue groups. An `allow` of None stands for everything.
    """

    def __cinit__(
        self, tuple publish_allow, tuple publish_deny not None, tuple subscribe_allow,
        tuple subscribe_deny not None, uint64_t seed,
    ):
        if publish_allow is not None or publish_deny:
            self.publish = SubjectFilter(publish_allow, publish_deny, seed)
        self.allow = subscribe_allow
        self.deny = subscribe_deny
        self.filters = {}
        self.seed = seed

    cdef bint may_publish(self, View subject) except *:
        return self.publish is None or self.publish.admits(subject)

    cdef bint may_subscribe(self, View subject, View queue) except *:
        """`queue` is empty outside queue groups. A mailbox is allowed if every priority asked for is."""
        cdef View address
        cdef int ranks = 0
        cdef int rank
        if not starts_with(subject, view_of(MSG)):
            return self.may_subscribe_as([to_bytes(subject)], queue)
        if not split_filter(slice_from(subject, MSG_BYTES), &address, &ranks):
            return self.may_subscribe_as([to_bytes(subject)], queue)
        plain = MSG + to_bytes(address)
        for rank in range(RANKS):
            if ranks & (1 << rank):
                if not self.may_subscribe_as([plain, plain + <bytes>PRIORITIES[rank]], queue):
                    return False
        return True

    cdef bint may_subscribe_as(self, list names, View queue) except *:
        """Entries with a queue say nothing of subscriptions outside groups; of a group's they have the say,
        where there are any."""
        cdef bint plain = self.allow is None
        cdef bint grouped = False
        cdef bint in_group = False
        for subject, group in self.allow or ():
            if not any_covers((subject,), names):
                continue
            if group is None:
                plain = True
            elif queue.size:
                grouped = True
                in_group = in_group or covers(view_of(<bytes>group), queue)
        if not (in_group if grouped else plain):
            return False
        for subject, group in self.deny:
            if self.is_of(group, queue) and any_covers((subject,), names):
                return False
        return True

    cdef SubjectFilter filter_of(self, View subject, View queue):
        """What a subscription to `subject` may receive of the messages that match it; None for all. `queue`
        is empty outside queue groups."""
        cdef tuple denied = tuple([pattern for pattern, group in self.deny if self.is_of(group, queue)])
        for pattern in denied:
            if overlap(view_of(<bytes>pattern), subject):
                return self.filter_for(denied)
        return None

    cdef bint is_of(self, bytes group, View queue) noexcept:
        """Whether an entry for the queue groups `group`, None for every subscription, concerns `queue`."""
        return group is None or (queue.size > 0 and covers(view_of(group), queue))

    cdef SubjectFilter filter_for(self, tuple denied):
        """One filter for all subscriptions to which the same entries apply: they share its cache."""
        found = self.filters.get(denied)
        if found is None:
            if len(self.filters) >= MAX_FILTERS:
                self.filters.clear()
            found = self.filters[denied] = SubjectFilter(None, denied, self.seed)
        return found

    def publishes(self, bytes subject not None) -> bool:
        """Whether a message may be published on the literal `subject`."""
        return self.may_publish(view_of(subject))

    def subscribes(self, bytes subject not None, bytes queue=None) -> bool:
        """Whether `subject` may be subscribed to, in the group `queue` if one is given."""
        return self.may_subscribe(view_of(subject), view_of(queue) if queue else view(NULL, 0))

    def delivers(self, bytes subscribed not None, bytes subject not None, bytes queue=None) -> bool:
        """Whether a subscription to `subscribed`, in the group `queue` if one is given, receives messages on
        the literal `subject`, which it matches."""
        cdef View group = view_of(queue) if queue else view(NULL, 0)
        cdef SubjectFilter denied = self.filter_of(view_of(subscribed), group)
        return denied is None or denied.admits(view_of(subject))
