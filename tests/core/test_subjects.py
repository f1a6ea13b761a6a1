"""Tests of `protocol/subject` and `pubsub/sublist`: valid subjects, and the trie against a simple matcher."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mq9fast._core.base.limits import Limits
from mq9fast._core.protocol.subject import is_valid_subject
from mq9fast._core.pubsub.client import Client, PendingWork, Subscription
from mq9fast._core.pubsub.sublist import Sublist
from mq9fast._core.testing.pubsub import (
    add_subscription,
    cache_bytes,
    change_count,
    remove_subscription,
    subscription_count,
)
from tests.support.in_memory import MANY

# Few different tokens, so that patterns and subjects often match.
LITERAL = st.lists(st.sampled_from(["a", "b", "c", "*x", "a>"]), min_size=1, max_size=5).map(".".join)
PATTERN = st.builds(
    lambda tokens, tail: ".".join([*tokens, *tail]),
    st.lists(st.sampled_from(["a", "b", "c", "*", "*", "*x"]), min_size=1, max_size=4),
    st.sampled_from([[], [], [">"]]),
) | st.just(">")


def is_covered(pattern: str, subject: str) -> bool:
    """Whether a valid pattern matches a valid literal subject, by the rules of NATS."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(tokens) < len(wanted):
            return False
        wanted.pop()
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))


@pytest.mark.parametrize(
    "subject",
    [
        *(
            "a",
            "a.b",
            ">",
            "*",
            "a.>",
            "a.*",
            "*.*.>",
            "a*",
            "a>.b",
            ">a",
            "$SYS.x",
            "a.*b.c",
            "é.ü",
            "a" * 999,
        ),
        *("..".replace(".", "a"), "-_", "a:b/c", "\x7f", "\x01", "\x0e", "a\r", "a\x0bb", "\x00"),
    ],
    ids=repr,
)
def test_valid_subjects(subject: str) -> None:
    assert is_valid_subject(subject.encode())


@pytest.mark.parametrize(
    "subject",
    [
        *("", ".", "..", ".a", "a.", "a..b"),
        *(">.a", "a.>.b", ">.>", "a.>."),
    ],
    ids=repr,
)
def test_invalid_subjects(subject: str) -> None:
    assert not is_valid_subject(subject.encode())


@MANY
@given(st.text("ab.*> \t\r\n\x00\x0b\x0c", max_size=12))
def test_validity_depends_on_tokens_only(subject: str) -> None:
    tokens = subject.split(".")
    expected = all(tokens) and all(token != ">" for token in tokens[:-1])
    assert is_valid_subject(subject.encode()) is expected


@pytest.mark.parametrize("pattern", [">", "*", "a.>", "*.*", "a.b", "a"])
@pytest.mark.parametrize("subject", ["", ".", ".a", "a.", "a..b"])
def test_invalid_subject_matches_nothing(pattern: str, subject: str) -> None:
    sublist, client = new_sublist()
    add_subscription(sublist, client, pattern.encode())
    assert sublist.matches(subject.encode()) == ([], [])


def new_sublist() -> tuple[Sublist, Client]:
    return Sublist(11), Client(PendingWork(Limits()), 1)


class SublistAgainstSimpleMatcher(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sublist, self.client = new_sublist()
        self.model: list[Subscription] = []
        self.removed: list[Subscription] = []
        # Looked up after every step, because the cache must not return old matches.
        self.looked_up = ["a", "b.c", "a.b.c"]

    @rule(pattern=PATTERN | LITERAL, queue=st.sampled_from([None, None, b"q", b"r"]))
    def subscribe(self, pattern: str, queue: bytes | None) -> None:
        self.model.append(add_subscription(self.sublist, self.client, pattern.encode(), queue))

    @rule(at=st.integers(0, 1000))
    def unsubscribe(self, at: int) -> None:
        if self.model:
            subscription = self.model.pop(at % len(self.model))
            assert remove_subscription(self.sublist, subscription)
            self.removed.append(subscription)

    @rule(at=st.integers(0, 1000))
    def unsubscribe_again(self, at: int) -> None:
        if self.removed:
            generation = change_count(self.sublist)
            assert not remove_subscription(self.sublist, self.removed[at % len(self.removed)])
            assert change_count(self.sublist) == generation

    @rule(subject=LITERAL)
    def look_up(self, subject: str) -> None:
        self.looked_up.append(subject)

    @invariant()
    def same(self) -> None:
        assert subscription_count(self.sublist) == len(self.model)
        for subject in [*self.looked_up[:3], *self.looked_up[-3:]]:
            plain, groups = self.sublist.matches(subject.encode())
            found = [each for each in self.model if is_covered(each.subject.decode(), subject)]
            expected: dict[bytes, set[int]] = {}
            for each in found:
                if each.queue is not None:
                    expected.setdefault(each.queue, set()).add(id(each))
            assert sorted(map(id, plain)) == sorted(id(each) for each in found if each.queue is None)
            assert {group[0].queue: {id(each) for each in group} for group in groups} == expected
            assert sum(map(len, groups)) == sum(map(len, expected.values()))


TestSublistAgainstSimpleMatcher = SublistAgainstSimpleMatcher.TestCase
TestSublistAgainstSimpleMatcher.settings = settings(max_examples=80, stateful_step_count=30)


def test_subscriptions_to_one_subject_match_in_their_order() -> None:
    sublist, client = new_sublist()
    subscriptions = [add_subscription(sublist, client, b"a.b") for _ in range(20)]
    assert sublist.matches(b"a.b") == (subscriptions, [])


def test_each_change_invalidates_cached_matches() -> None:
    sublist, client = new_sublist()
    first = add_subscription(sublist, client, b"a")
    assert sublist.matches(b"a") == ([first], [])
    second = add_subscription(sublist, client, b"*")
    assert sorted(map(id, sublist.matches(b"a")[0])) == sorted([id(first), id(second)])
    remove_subscription(sublist, first)
    assert sublist.matches(b"a") == ([second], [])
    remove_subscription(sublist, second)
    assert sublist.matches(b"a") == ([], [])


def test_matches_of_more_subjects_than_the_cache_holds() -> None:
    sublist, client = new_sublist()
    subscriptions = {b"s.%d" % i: add_subscription(sublist, client, b"s.%d" % i) for i in range(10_000)}
    for _ in range(3):
        for subject, subscription in subscriptions.items():
            assert sublist.matches(subject) == ([subscription], [])
    # The cache grew and holds most of the subjects, but not all: one slot holds one subject.
    subjects, largest, total = sublist.fanout()
    assert subjects == total > 7000
    assert largest == 1


def test_number_of_cached_subjects_is_bounded() -> None:
    sublist, _ = new_sublist()
    for i in range(200_000):
        sublist.matches(b"inbox.%d" % i)
    assert 20_000 < sublist.fanout()[0] <= 32_768


def test_removed_subscription_is_not_referenced() -> None:
    """Neither the trie nor the last match nor the cache keeps a reference to it."""
    sublist, client = new_sublist()
    for queue in (None, b"q"):
        subscription = add_subscription(sublist, client, b"a.b", queue)
        before = sys.getrefcount(subscription)
        sublist.matches(b"a.b")
        remove_subscription(sublist, subscription)
        assert sys.getrefcount(subscription) == before - 1 == 2


def test_trie_is_empty_after_all_subscriptions_are_removed() -> None:
    """Removing subscriptions also removes the nodes that were created for them."""
    sublist, client = new_sublist()
    patterns = [b"a.b.c", b"a.b", b"a.*.c", b"a.>", b">", b"*", b"x.y.z.>"]
    for queue in (None, b"q"):
        for subscription in [add_subscription(sublist, client, pattern, queue) for pattern in patterns]:
            assert remove_subscription(sublist, subscription)
    assert subscription_count(sublist) == 0
    assert sublist.matches(b"a.b.c") == ([], [])


def test_subject_with_many_tokens() -> None:
    """The longest subject here fills the longest control line that can be configured, a megabyte."""
    sublist, client = new_sublist()
    deep = b"a." * 2000 + b"a"
    subscription = add_subscription(sublist, client, deep)
    assert sublist.matches(deep) == ([subscription], [])
    assert remove_subscription(sublist, subscription)
    for tokens in (50_000, 500_000):
        with pytest.raises(ValueError, match="not a valid subject"):
            add_subscription(sublist, client, b"a." * tokens + b"a")
        assert sublist.matches(b"a." * tokens + b"a") == ([], [])


def test_subscribing_to_an_invalid_subject_raises() -> None:
    sublist, client = new_sublist()
    with pytest.raises(ValueError, match="not a valid subject"):
        add_subscription(sublist, client, b"a..b")
    assert subscription_count(sublist) == 0


def test_memory_of_cached_matches_is_bounded() -> None:
    sublist = Sublist(1)
    client = Client(PendingWork(Limits()), 1)
    many = [add_subscription(sublist, client, b">") for _ in range(3000)]
    group = [add_subscription(sublist, client, b"a.*", b"group") for _ in range(3000)]
    for number in range(2000):
        plain, groups = sublist.matches(b"a.%d" % number)
        assert (len(plain), len(groups[0])) == (3000, 3000)
        assert cache_bytes(sublist) <= 32 << 20
    assert cache_bytes(sublist) > 16 << 20
    # The matches are right, whatever was evicted for them.
    assert sublist.matches(b"a.1999") == (many, [group])
    assert sublist.matches(b"a.0") == (many, [group])


def test_matches_of_subscriptions_that_ended_can_be_freed() -> None:
    sublist = Sublist(1)
    client = Client(PendingWork(Limits()), 1)
    staying = add_subscription(sublist, client, b"a.*")
    many = [add_subscription(sublist, client, b">") for _ in range(100)]
    for number in range(1000):
        sublist.matches(b"a.%d" % number)
    for subscription in many:
        remove_subscription(sublist, subscription)
    assert sublist.matches(b"a.0") == ([staying], [])
    held = cache_bytes(sublist)
    sublist.forget_stale_matches()
    assert 0 < cache_bytes(sublist) < held / 100
    assert sublist.fanout() == (1, 1, 1)
    assert sublist.matches(b"a.0") == sublist.matches(b"a.1") == ([staying], [])
