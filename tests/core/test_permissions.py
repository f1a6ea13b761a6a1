"""Tests of `pubsub/permissions` against a simple second implementation of the rules."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.pubsub.permissions import Permissions
from mq9fast._core.testing.pubsub import delivers, publishes, subscribes
from tests.support.in_memory import MANY

MSG = b"$mq9.AI.MAILBOX.MSG."
PRIORITIES = (b"critical", b"urgent", b"normal")
TOKENS = st.sampled_from([b"a", b"b", b"ab", b"*"])
LITERALS = st.lists(st.sampled_from([b"a", b"b", b"ab"]), min_size=1, max_size=4).map(b".".join)
# '>' is valid as the last token only.
PATTERNS = st.tuples(st.lists(TOKENS, min_size=1, max_size=3), st.booleans()).map(
    lambda it: b".".join([*it[0], b">"]) if it[1] else b".".join(it[0])
) | st.just(b">")
LISTS = st.lists(PATTERNS, max_size=3).map(tuple)
OPTIONAL = st.none() | LISTS


def matches(pattern: bytes, literal: bytes) -> bool:
    """Whether a NATS pattern matches a literal subject, by a regular expression."""
    wanted = re.escape(pattern).replace(rb"\*", rb"[^.]+").replace(rb">", rb".+")
    return re.fullmatch(wanted, literal, re.DOTALL) is not None


def permit(
    publish_allow: tuple[bytes, ...] | None = None,
    publish_deny: tuple[bytes, ...] = (),
    allow: tuple[bytes, ...] | None = None,
    deny: tuple[bytes, ...] = (),
) -> Permissions:
    return Permissions(
        publish_allow,
        publish_deny,
        None if allow is None else tuple((it, None) for it in allow),
        tuple((it, None) for it in deny),
        7,
    )


@MANY
@given(OPTIONAL, LISTS, st.lists(LITERALS, max_size=5))
def test_publish_is_allowed_and_not_denied(
    allow: tuple[bytes, ...] | None, deny: tuple[bytes, ...], subjects: list[bytes]
) -> None:
    permissions = permit(allow, deny)
    for subject in subjects * 2:  # the second result comes from the cache
        allowed = allow is None or any(matches(it, subject) for it in allow)
        denied = any(matches(it, subject) for it in deny)
        assert publishes(permissions, subject) == (allowed and not denied)


UNIVERSE = [b".".join(it) for n in (1, 2, 3, 4) for it in product([b"a", b"b", b"ab"], repeat=n)]


@MANY
@given(PATTERNS, PATTERNS)
def test_pattern_covers_a_subscription_that_it_matches_entirely(pattern: bytes, subject: bytes) -> None:
    """Checked for every literal subject of up to four tokens, one more than any pattern here has."""
    matched = [it for it in UNIVERSE if matches(subject, it)]
    covered = all(matches(pattern, it) for it in matched)
    assert subscribes(permit(allow=(pattern,)), subject) == covered
    assert subscribes(permit(deny=(pattern,)), subject) == (not covered)


@MANY
@given(LISTS, PATTERNS)
def test_wildcard_subscription_does_not_receive_denied_subjects(
    deny: tuple[bytes, ...], subject: bytes
) -> None:
    permissions = permit(deny=deny)
    for literal in UNIVERSE:
        if matches(subject, literal):
            assert delivers(permissions, subject, literal) == (not any(matches(it, literal) for it in deny))


ADDRESSES = st.lists(st.sampled_from([b"a", b"b"]), min_size=1, max_size=2).map(b".".join)
MAILBOX_PATTERNS = st.builds(
    lambda *tokens: MSG + b".".join(it for it in tokens if it),
    st.sampled_from([b"a", b"b", b"*"]),
    st.sampled_from([b"", b"a", b"*", b"urgent"]),
    st.sampled_from([b"", b">", b"*", b"normal"]),
)
MAILBOX_LISTS = st.lists(MAILBOX_PATTERNS, max_size=2).map(tuple)


@MANY
@given(st.none() | MAILBOX_LISTS, MAILBOX_LISTS, ADDRESSES, st.sampled_from([b"", *PRIORITIES]))
def test_message_matches_entries_for_its_mailbox_or_its_priority(
    allow: tuple[bytes, ...] | None, deny: tuple[bytes, ...], address: bytes, priority: bytes
) -> None:
    names = [MSG + address, MSG + address + b"." + (priority or b"normal")]
    wanted = allow is None or any(matches(it, name) for it in allow for name in names)
    wanted = wanted and not any(matches(it, name) for it in deny for name in names)
    subject = MSG + address + (b"." + priority if priority else b"")
    assert publishes(permit(allow, deny), subject) == wanted


@MANY
@given(st.none() | MAILBOX_LISTS, MAILBOX_LISTS, ADDRESSES)
def test_mailbox_is_readable_if_each_of_its_priorities_is(
    allow: tuple[bytes, ...] | None, deny: tuple[bytes, ...], address: bytes
) -> None:
    permissions = permit(allow=allow, deny=deny)
    each = [subscribes(permissions, MSG + address + b"." + priority) for priority in PRIORITIES]
    assert subscribes(permissions, MSG + address) == all(each)
    assert subscribes(permissions, MSG + address + b".*") == all(each)


@pytest.mark.parametrize(
    ("allow", "deny", "queue", "expected"),
    [
        ([(b"a", None)], [], b"q", True),
        ([(b"a", b"q")], [], None, False),
        ([(b"a", b"q")], [], b"q", True),
        ([(b"a", b"q")], [], b"r", False),
        ([(b"a", b"q.*")], [], b"q.1", True),
        ([(b"a", b"q"), (b"a", b"r")], [], b"r", True),
        ([(b"a", None), (b"a", b"q")], [], b"r", False),
        ([(b"a", None), (b"b", b"q")], [], b"r", True),
        ([(b"a", None), (b"a", b"q")], [], None, True),
        (None, [(b"a", b"q")], None, True),
        (None, [(b"a", b"q")], b"q", False),
        (None, [(b"a", b"q")], b"r", True),
        (None, [(b"a", None)], b"r", False),
        (None, [(b"a", None), (b"a", b"q")], b"r", False),
    ],
)
def test_entries_with_a_queue(
    allow: list[tuple[bytes, bytes | None]] | None,
    deny: list[tuple[bytes, bytes | None]],
    queue: bytes | None,
    expected: bool,
) -> None:
    permissions = Permissions(None, (), None if allow is None else tuple(allow), tuple(deny), 7)
    assert subscribes(permissions, b"a", queue) is expected


def test_results_for_many_subjects_stay_correct() -> None:
    """The cache of results is bounded. Emptying it changes no result."""
    permissions = permit((b"ok.*",))
    for number in range(5000):
        assert publishes(permissions, b"ok.%d" % number)
        assert not publishes(permissions, b"no.%d" % number)
    assert publishes(permissions, b"ok." + b"x" * 4000)


QUEUES = st.sampled_from([None, b"q", b"q.1", b"r"])


@MANY
@given(
    st.lists(st.tuples(PATTERNS, st.sampled_from([None, b"q", b"q.*", b">"])), max_size=3), PATTERNS, QUEUES
)
def test_group_subscription_does_not_receive_subjects_denied_to_the_group(
    deny: list[tuple[bytes, bytes | None]], subject: bytes, queue: bytes | None
) -> None:
    permissions = Permissions(None, (), None, tuple(deny), 7)
    concerned = [it for it, group in deny if group is None or (queue is not None and matches(group, queue))]
    for literal in UNIVERSE:
        if matches(subject, literal):
            denied = any(matches(it, literal) for it in concerned)
            assert delivers(permissions, subject, literal, queue) == (not denied)
