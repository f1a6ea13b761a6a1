"""Plain subjects: what is valid, what covers what, and the trie against a matcher by brute force."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mq9fast._core.protocol.subject import is_valid_subject
from mq9fast._core.pubsub.client import Client, PendingWork, Subscription
from mq9fast._core.pubsub.sublist import Sublist
from tests.support.in_memory import MANY

# Few tokens, so that subjects meet.
LITERAL = st.lists(st.sampled_from(["a", "b", "c", "*x", "a>"]), min_size=1, max_size=5).map(".".join)
PATTERN = st.builds(
    lambda tokens, tail: ".".join([*tokens, *tail]),
    st.lists(st.sampled_from(["a", "b", "c", "*", "*", "*x"]), min_size=1, max_size=4),
    st.sampled_from([[], [], [">"]]),
) | st.just(">")


def is_covered(pattern: str, subject: str) -> bool:
    """The rule of NATS, for a valid pattern and a valid literal subject."""
    wanted, had = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(had) < len(wanted):
            return False
        wanted.pop()
        had = had[: len(wanted)]
    return len(wanted) == len(had) and all(w in ("*", h) for w, h in zip(wanted, had, strict=True))


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
def test_subjects_that_are_not_valid(subject: str) -> None:
    assert not is_valid_subject(subject.encode())


@MANY
@given(st.text("ab.*> \t\r\n\x00\x0b\x0c", max_size=12))
def test_validity_is_a_matter_of_tokens(subject: str) -> None:
    tokens = subject.split(".")
    expected = all(tokens) and all(token != ">" for token in tokens[:-1])
    assert is_valid_subject(subject.encode()) is expected


@pytest.mark.parametrize("pattern", [">", "*", "a.>", "*.*", "a.b", "a"])
@pytest.mark.parametrize("subject", ["", ".", ".a", "a.", "a..b"])
def test_what_is_no_subject_matches_nothing(pattern: str, subject: str) -> None:
    sublist, client = trie()
    sublist.add(client, pattern.encode())
    assert sublist.matches(subject.encode()) == ([], [])


def trie() -> tuple[Sublist, Client]:
    return Sublist(11), Client(PendingWork(), 1, 1000)


class AgainstBruteForce(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sublist, self.client = trie()
        self.model: list[Subscription] = []
        self.gone: list[Subscription] = []
        # Asked again after every step: the answers are cached.
        self.asked = ["a", "b.c", "a.b.c"]

    @rule(pattern=PATTERN | LITERAL, queue=st.sampled_from([None, None, b"q", b"r"]))
    def subscribe(self, pattern: str, queue: bytes | None) -> None:
        self.model.append(self.sublist.add(self.client, pattern.encode(), queue))

    @rule(at=st.integers(0, 1000))
    def unsubscribe(self, at: int) -> None:
        if self.model:
            subscription = self.model.pop(at % len(self.model))
            assert self.sublist.discard(subscription)
            self.gone.append(subscription)

    @rule(at=st.integers(0, 1000))
    def unsubscribe_again(self, at: int) -> None:
        if self.gone:
            generation = self.sublist.generation
            assert not self.sublist.discard(self.gone[at % len(self.gone)])
            assert self.sublist.generation == generation

    @rule(subject=LITERAL)
    def ask(self, subject: str) -> None:
        self.asked.append(subject)

    @invariant()
    def same(self) -> None:
        assert self.sublist.size == len(self.model)
        for subject in [*self.asked[:3], *self.asked[-3:]]:
            plain, groups = self.sublist.matches(subject.encode())
            found = [each for each in self.model if is_covered(each.subject.decode(), subject)]
            expected: dict[bytes, set[int]] = {}
            for each in found:
                if each.queue is not None:
                    expected.setdefault(each.queue, set()).add(id(each))
            assert sorted(map(id, plain)) == sorted(id(each) for each in found if each.queue is None)
            assert {group[0].queue: {id(each) for each in group} for group in groups} == expected
            assert sum(map(len, groups)) == sum(map(len, expected.values()))


TestAgainstBruteForce = AgainstBruteForce.TestCase
TestAgainstBruteForce.settings = settings(max_examples=80, stateful_step_count=30)


def test_plain_subscriptions_of_one_subject_in_order() -> None:
    sublist, client = trie()
    subscriptions = [sublist.add(client, b"a.b") for _ in range(20)]
    assert sublist.matches(b"a.b") == (subscriptions, [])


def test_a_change_anywhere_invalidates_what_was_cached() -> None:
    sublist, client = trie()
    first = sublist.add(client, b"a")
    assert sublist.matches(b"a") == ([first], [])
    second = sublist.add(client, b"*")
    assert sorted(map(id, sublist.matches(b"a")[0])) == sorted([id(first), id(second)])
    sublist.discard(first)
    assert sublist.matches(b"a") == ([second], [])
    sublist.discard(second)
    assert sublist.matches(b"a") == ([], [])


def test_more_subjects_than_the_cache_holds() -> None:
    sublist, client = trie()
    subscriptions = {b"s.%d" % i: sublist.add(client, b"s.%d" % i) for i in range(10_000)}
    for _ in range(3):
        for subject, subscription in subscriptions.items():
            assert sublist.matches(subject) == ([subscription], [])
    # It grew, and holds most of them: those that share a slot push each other out.
    known, most, total = sublist.fanout()
    assert known == total > 7000
    assert most == 1


def test_the_cache_does_not_grow_for_ever() -> None:
    sublist, _ = trie()
    for i in range(200_000):
        sublist.matches(b"inbox.%d" % i)
    assert 20_000 < sublist.fanout()[0] <= 32_768


def test_a_subscription_that_left_is_let_go_of() -> None:
    """Neither the trie nor the last answer nor the cache keeps it."""
    sublist, client = trie()
    for queue in (None, b"q"):
        subscription = sublist.add(client, b"a.b", queue)
        before = sys.getrefcount(subscription)
        sublist.matches(b"a.b")
        sublist.discard(subscription)
        assert sys.getrefcount(subscription) == before - 1 == 2


def test_an_emptied_trie_is_empty() -> None:
    """Nothing is left of the places that only the subscriptions made."""
    sublist, client = trie()
    patterns = [b"a.b.c", b"a.b", b"a.*.c", b"a.>", b">", b"*", b"x.y.z.>"]
    for queue in (None, b"q"):
        for subscription in [sublist.add(client, pattern, queue) for pattern in patterns]:
            assert sublist.discard(subscription)
    assert sublist.size == 0
    assert sublist.matches(b"a.b.c") == ([], [])


def test_many_tokens() -> None:
    """As many as fit the largest control line a broker can be set to: a megabyte of them."""
    sublist, client = trie()
    deep = b"a." * 2000 + b"a"
    subscription = sublist.add(client, deep)
    assert sublist.matches(deep) == ([subscription], [])
    assert sublist.discard(subscription)
    for tokens in (50_000, 500_000):
        with pytest.raises(ValueError, match="not a valid subject"):
            sublist.add(client, b"a." * tokens + b"a")
        assert sublist.matches(b"a." * tokens + b"a") == ([], [])


def test_a_subject_that_cannot_be_subscribed_to() -> None:
    sublist, client = trie()
    with pytest.raises(ValueError, match="not a valid subject"):
        sublist.add(client, b"a..b")
    assert sublist.size == 0


def test_what_is_kept_of_large_matches_is_bounded_by_its_bytes() -> None:
    sublist = Sublist(1)
    client = Client(PendingWork(), 1, 0)
    many = [sublist.add(client, b">") for _ in range(3000)]
    group = [sublist.add(client, b"a.*", b"group") for _ in range(3000)]
    for number in range(2000):
        plain, groups = sublist.matches(b"a.%d" % number)
        assert (len(plain), len(groups[0])) == (3000, 3000)
        assert sublist.kept_bytes <= 32 << 20
    assert sublist.kept_bytes > 16 << 20
    # The last answer is right, whatever had to go for it.
    assert sublist.matches(b"a.1999") == (many, [group])
    assert sublist.matches(b"a.0") == (many, [group])
