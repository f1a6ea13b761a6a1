"""The grammar of NATS subjects; the contract, and who uses it, is in subject.pxd."""

from mq9fast._core.base.view cimport View, same, slice_from, view_of

cdef enum:
    MAX_TOKENS = 4096        # twice as many as fit into a control line of the default length


cdef bint valid_subject(View subject) noexcept:
    """Whether it has no empty token, '>' only as its last token, and at most MAX_TOKENS tokens (the trie
    recurses once for each)."""
    cdef Py_ssize_t i
    cdef Py_ssize_t start = 0
    cdef int tokens = 0
    cdef char c
    for i in range(subject.size + 1):
        c = subject.data[i] if i < subject.size else c'.'
        if c == c'.':
            if i == start:
                return False
            if i < subject.size and i == start + 1 and subject.data[start] == c'>':
                return False
            start = i + 1
            tokens += 1
    return tokens <= MAX_TOKENS


cdef Py_ssize_t count_tokens(View subject) noexcept:
    cdef Py_ssize_t tokens = 1
    cdef Py_ssize_t i
    for i in range(subject.size):
        tokens += subject.data[i] == c'.'
    return tokens


cdef bint has_empty_token(View subject) noexcept:
    cdef Py_ssize_t i
    for i in range(1, subject.size):
        if subject.data[i] == c'.' and subject.data[i - 1] == c'.':
            return True
    return subject.size == 0 or subject.data[0] == c'.' or subject.data[subject.size - 1] == c'.'


cdef bint has_wildcard(View subject) noexcept:
    """Whether any token is exactly '*' or '>'."""
    cdef View token
    while True:
        token = first_token(subject)
        if is_token(token, c'*') or is_token(token, c'>'):
            return True
        if token.size == subject.size:
            return False
        subject = slice_from(subject, token.size + 1)


cdef bint covers(View pattern, View subject) noexcept:
    """Whether `pattern` matches every subject that `subject`, which may have wildcards, matches."""
    cdef View wanted, token
    while True:
        wanted = first_token(pattern)
        token = first_token(subject)
        if is_token(wanted, c'>'):
            return token.size > 0
        if is_token(token, c'>') or token.size == 0:
            return False
        if not is_token(wanted, c'*') and not same(wanted, token):
            return False
        if wanted.size == pattern.size or token.size == subject.size:
            return wanted.size == pattern.size and token.size == subject.size
        pattern = slice_from(pattern, wanted.size + 1)
        subject = slice_from(subject, token.size + 1)


cdef bint overlap(View a, View b) noexcept:
    """Whether any subject matches both patterns."""
    cdef View token_a, token_b
    while True:
        token_a = first_token(a)
        token_b = first_token(b)
        if is_token(token_a, c'>') or is_token(token_b, c'>'):
            return True
        if not is_token(token_a, c'*') and not is_token(token_b, c'*') and not same(token_a, token_b):
            return False
        if token_a.size == a.size or token_b.size == b.size:
            return token_a.size == a.size and token_b.size == b.size
        a = slice_from(a, token_a.size + 1)
        b = slice_from(b, token_b.size + 1)


def is_valid_subject(bytes subject not None) -> bool:
    """Whether a client may subscribe to `subject`; wildcards are allowed."""
    return valid_subject(view_of(subject))
