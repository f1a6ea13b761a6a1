"""Plain subjects: a trie of tokens, and a cache of what literal subjects matched."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.view cimport View, hash_view, same, slice_from, to_bytes, view, view_of
from mq9fast._core.protocol.subject cimport first_token, has_empty_token, is_token, valid_subject
from mq9fast._core.pubsub.client cimport Client, Subscription
from mq9fast._core.pubsub.match_cache cimport Match, MatchCache, pack


cdef class Node:
    """One place in the trie; an empty one is dropped."""

    cdef bint is_empty(self) noexcept:
        return (
            (self.literals is None or self.literals.size == 0) and self.partial is None and self.full is None
            and not self.plain and not self.groups
        )


cdef Node child_of(Node node, View token, uint64_t seed, bint make):
    """The node behind `token`, which may be a wildcard; made if asked, else None where there is none."""
    cdef PyObject* found
    cdef Node child
    if is_token(token, c'*'):
        if node.partial is None and make:
            node.partial = Node.__new__(Node)
        return node.partial
    if is_token(token, c'>'):
        if node.full is None and make:
            node.full = Node.__new__(Node)
        return node.full
    if node.literals is None:
        if not make:
            return None
        node.literals = BytesMap(seed)
    found = node.literals.find(token)
    if found is not NULL:
        return <Node>found
    if not make:
        return None
    child = Node.__new__(Node)
    node.literals.insert(to_bytes(token), child)
    return child


cdef int drop_child(Node node, View token) except -1:
    if is_token(token, c'*'):
        node.partial = None
    elif is_token(token, c'>'):
        node.full = None
    else:
        node.literals.remove(token)
    return 0


cdef class Sublist:
    """Every plain subscription of a broker. `seed` keeps peers from choosing tokens that collide."""

    def __cinit__(self, uint64_t seed):
        self.seed = seed
        self.root = Node.__new__(Node)
        self.found_plain = []
        self.found_groups = {}
        self.cache = MatchCache()

    cdef int insert(self, Subscription subscription) except -1:
        """Add a subscription whose subject is valid."""
        cdef View rest = view_of(subscription.subject)
        cdef View token
        cdef Node node = self.root
        while True:
            token = first_token(rest)
            node = child_of(node, token, self.seed, True)
            if token.size == rest.size:
                break
            rest = slice_from(rest, token.size + 1)
        if subscription.queue is None:
            if node.plain is None:
                node.plain = {}
            node.plain[subscription] = None
        else:
            if node.groups is None:
                node.groups = {}
            node.groups.setdefault(subscription.queue, {})[subscription] = None
        self.size += 1
        self.generation += 1
        return 0

    cdef bint remove(self, Subscription subscription) except -1:
        """Forget a subscription; false if it was not there."""
        cdef View rest = view_of(subscription.subject)
        cdef View token
        cdef Node node = self.root
        cdef list path = []
        cdef dict members
        while True:
            token = first_token(rest)
            path.append((node, token.data - view_of(subscription.subject).data, token.size))
            node = child_of(node, token, self.seed, False)
            if node is None:
                return False
            if token.size == rest.size:
                break
            rest = slice_from(rest, token.size + 1)
        members = node.plain if subscription.queue is None else (node.groups or {}).get(subscription.queue)
        if not members or subscription not in members:
            return False
        del members[subscription]
        if subscription.queue is not None and not members:
            del node.groups[subscription.queue]
        self.prune(node, path, view_of(subscription.subject))
        self.size -= 1
        self.generation += 1
        return True

    cdef int prune(self, Node node, list path, View subject) except -1:
        """Drop the nodes from `node` upwards that hold nothing any more."""
        cdef Node parent
        cdef Py_ssize_t start, size
        for parent, start, size in reversed(path):
            if not node.is_empty():
                break
            drop_child(parent, view(subject.data + start, size))
            node = parent
        return 0

    cdef Match* match(self, View subject) except NULL:
        """Who gets a message on the literal `subject`. Good until the next `match`, `insert` or `remove`."""
        cdef uint64_t hashed
        # A publisher repeats itself: the subject before is compared before any is hashed.
        cdef Match* known = self.last
        if known is not NULL and known.generation == self.generation and same(known.subject, subject):
            return known
        hashed = hash_view(subject, self.seed)
        self.lookups += 1
        known = self.last = self.cache.find(subject, hashed, self.generation)
        if known is not NULL:
            return known
        self.misses += 1
        self.found_plain.clear()
        self.found_groups.clear()
        if subject.size:
            self.collect(self.root, subject)
        known = pack(self.found_plain, self.found_groups, subject, hashed, self.generation)
        self.cache.keep(known)
        # Not kept until the next time: a subscription that ends must not outlive its client here.
        self.found_plain.clear()
        self.found_groups.clear()
        self.last = known
        self.collected += known.ends[known.groups - 1] if known.groups else known.plain
        return known

    cdef int collect(self, Node node, View rest) except -1:
        """Gather what is subscribed below `node` to the tokens of `rest`, in nats-server's order."""
        cdef View token = first_token(rest)
        cdef bint last = token.size == rest.size
        cdef PyObject* literal
        if token.size == 0:
            return 0
        if node.full is not None and (last or not has_empty_token(rest)):
            self.collect_from(node.full)
        literal = NULL if node.literals is None else node.literals.find(token)
        if last:
            if literal is not NULL:
                self.collect_from(<Node>literal)
            if node.partial is not None:
                self.collect_from(node.partial)
            return 0
        rest = slice_from(rest, token.size + 1)
        if node.partial is not None:
            self.collect(node.partial, rest)
        if literal is not NULL:
            self.collect(<Node>literal, rest)
        return 0

    cdef int collect_from(self, Node node) except -1:
        if node.plain:
            self.found_plain.extend(node.plain)
        if node.groups:
            for queue, members in node.groups.items():
                self.found_groups.setdefault(queue, []).extend(members)
        return 0

    def fanout(self):
        """(subjects in the cache, the most subscriptions one of them matches, those of all of them)."""
        return self.cache.fanout(self.generation)

    @property
    def kept_bytes(self) -> int:
        """What the matches take that are kept, in bytes."""
        return self.cache.kept_bytes

    def add(self, Client client not None, bytes subject not None, bytes queue=None) -> Subscription:
        """Subscribe `client` to `subject`, for tests and benchmarks; ValueError if it is not valid."""
        cdef Subscription subscription = Subscription(client, b"1", subject, queue)
        if not valid_subject(view_of(subject)):
            raise ValueError(f"not a valid subject: {subject!r}")
        self.insert(subscription)
        return subscription

    def discard(self, Subscription subscription not None) -> bool:
        """Forget a subscription; False if it was not there."""
        return self.remove(subscription)

    def matches(self, bytes subject not None):
        """Who gets a message on `subject`: (plain subscriptions, one list per queue group)."""
        cdef Match* match = self.match(view_of(subject))
        cdef Py_ssize_t i, j
        cdef Py_ssize_t start = match.plain
        cdef list groups = []
        for i in range(match.groups):
            groups.append([<object>match.subscriptions[j] for j in range(start, match.ends[i])])
            start = match.ends[i]
        return [<object>match.subscriptions[j] for j in range(match.plain)], groups
