"""The trie of plain subscriptions, owned by `Router`; the contract is in sublist.pxd."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.base.view cimport View, hash_view, same, slice_from, to_bytes, view, view_of
from mq9fast._core.protocol.subject cimport first_token, has_empty_token, is_token
from mq9fast._core.pubsub.client cimport Subscription
from mq9fast._core.pubsub.match_cache cimport Match, MatchCache, pack


cdef class Node:
    """One node of the trie. A node without subscriptions and children is removed."""

    cdef bint is_empty(self) noexcept:
        return (
            (self.literals is None or self.literals.size == 0)
            and self.partial_wildcard is None and self.full_wildcard is None
            and not self.plain and not self.groups
        )


cdef Node child_of(Node node, View token, uint64_t seed, bint create):
    """The child of `node` for `token`, which may be a wildcard. If there is none: a new one with `create`,
    else None."""
    cdef PyObject* found
    cdef Node child
    if is_token(token, c'*'):
        if node.partial_wildcard is None and create:
            node.partial_wildcard = Node.__new__(Node)
        return node.partial_wildcard
    if is_token(token, c'>'):
        if node.full_wildcard is None and create:
            node.full_wildcard = Node.__new__(Node)
        return node.full_wildcard
    if node.literals is None:
        if not create:
            return None
        node.literals = BytesMap(seed)
    found = node.literals.find(token)
    if found is not NULL:
        return <Node>found
    if not create:
        return None
    child = Node.__new__(Node)
    node.literals.insert(to_bytes(token), child)
    return child


cdef int drop_child(Node node, View token) except -1:
    if is_token(token, c'*'):
        node.partial_wildcard = None
    elif is_token(token, c'>'):
        node.full_wildcard = None
    else:
        node.literals.remove(token)
    return 0


cdef class Sublist:
    """All plain subscriptions of a broker. With a known `seed` clients could choose tokens that collide."""

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
        """Remove a subscription; false if it was not there."""
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
        if CHECKED:
            check(self.size > 0 or self.root.is_empty(), b"a trie without subscriptions has no nodes")
        return True

    cdef int prune(self, Node node, list path, View subject) except -1:
        """Remove the empty nodes of `path`, from `node` upwards."""
        cdef Node parent
        cdef Py_ssize_t start, size
        for parent, start, size in reversed(path):
            if not node.is_empty():
                break
            drop_child(parent, view(subject.data + start, size))
            node = parent
        return 0

    cdef Match* match(self, View subject) except NULL:
        """The receivers of a message on the literal `subject`.

        DANGER: the result is valid until the next `match`, `insert` or `remove`.
        """
        cdef uint64_t hashed
        # Publishers often repeat a subject: comparing with the last one is cheaper than hashing.
        cdef Match* known = self.last_match
        if known is not NULL and known.generation == self.generation and same(known.subject, subject):
            return known
        hashed = hash_view(subject, self.seed)
        self.lookups += 1
        known = self.last_match = self.cache.find(subject, hashed, self.generation)
        if known is not NULL:
            return known
        self.misses += 1
        self.found_plain.clear()
        self.found_groups.clear()
        if subject.size:
            self.collect(self.root, subject)
        known = pack(self.found_plain, self.found_groups, subject, hashed, self.generation)
        self.cache.insert(known)
        # These hold references: a subscription that ends must not stay alive here.
        self.found_plain.clear()
        self.found_groups.clear()
        self.last_match = known
        self.collected += known.ends[known.groups - 1] if known.groups else known.plain
        return known

    cdef int collect(self, Node node, View rest) except -1:
        """Collect the subscriptions below `node` that match the tokens of `rest`, in nats-server's order."""
        cdef View token = first_token(rest)
        cdef bint last = token.size == rest.size
        cdef PyObject* literal
        if token.size == 0:
            return 0
        if node.full_wildcard is not None and (last or not has_empty_token(rest)):
            self.collect_from(node.full_wildcard)
        literal = NULL if node.literals is None else node.literals.find(token)
        if last:
            if literal is not NULL:
                self.collect_from(<Node>literal)
            if node.partial_wildcard is not None:
                self.collect_from(node.partial_wildcard)
            return 0
        rest = slice_from(rest, token.size + 1)
        if node.partial_wildcard is not None:
            self.collect(node.partial_wildcard, rest)
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

    def forget_stale_matches(self):
        """Free the cached matches from before the last change, which nothing finds any more."""
        cdef Py_ssize_t i
        self.last_match = NULL
        for i in range(self.cache.capacity):
            if self.cache.slots[i] is not NULL and self.cache.slots[i].generation != self.generation:
                self.cache.evict(i)

    def fanout(self):
        """(valid subjects in the cache, the largest number of matches of one of them, their sum)."""
        return self.cache.fanout(self.generation)

    def matches(self, bytes subject not None):
        """The receivers of a message on `subject`: (plain subscriptions, one list per queue group)."""
        cdef Match* match = self.match(view_of(subject))
        cdef Py_ssize_t i, j
        cdef Py_ssize_t start = match.plain
        cdef list groups = []
        for i in range(match.groups):
            groups.append([<object>match.subscriptions[j] for j in range(start, match.ends[i])])
            start = match.ends[i]
        return [<object>match.subscriptions[j] for j in range(match.plain)], groups
