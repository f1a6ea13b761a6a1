"""Tests of `base/ordered_bytes`: it behaves as a sorted list without duplicates."""

import random
import sys
from bisect import bisect_left, insort

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mq9fast._core.testing.base import ExposedOrderedBytes

CHUNK_ITEMS = 256
STRINGS = st.one_of(
    st.integers(0, 2000).map(lambda n: b"s.%04d" % n), st.binary(max_size=4), st.sampled_from([b"s", b"s."])
)


class OrderedBytesAgainstList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.strings = ExposedOrderedBytes()
        self.model: list[bytes] = []

    @rule(item=STRINGS)
    def add(self, item: bytes) -> None:
        if item not in self.model:
            self.strings.add(item)
            insort(self.model, item)

    @rule(first=st.integers(0, 2000), count=st.integers(1, 700), step=st.sampled_from([1, -1, 7]))
    def add_many(self, first: int, count: int, step: int) -> None:
        for n in range(first, first + count * step, step):
            self.add(b"s.%04d" % (n % 2000))

    @rule(item=STRINGS)
    def discard(self, item: bytes) -> None:
        assert self.strings.discard(item) is (item in self.model)
        if item in self.model:
            self.model.remove(item)

    @rule(start=st.floats(0, 1), count=st.integers(1, 700))
    def discard_many(self, start: float, count: int) -> None:
        at = int(start * len(self.model))
        for item in self.model[at : at + count]:
            self.discard(item)

    @rule(start=STRINGS, count=st.integers(0, 600))
    def read(self, start: bytes, count: int) -> None:
        at = bisect_left(self.model, start)
        assert self.strings.strings_from(start, count) == self.model[at : at + count]

    @invariant()
    def same(self) -> None:
        assert len(self.strings) == len(self.model)
        assert self.strings.strings_from(b"", len(self.model) + 1) == self.model
        assert self.strings.chunks_in_use <= 1 + len(self.model) // (CHUNK_ITEMS // 4)


TestOrderedBytesAgainstList = OrderedBytesAgainstList.TestCase
TestOrderedBytesAgainstList.settings = settings(max_examples=60, stateful_step_count=30)


def test_strings_that_come_in_order_fill_the_chunks() -> None:
    strings = ExposedOrderedBytes()
    for n in range(100 * CHUNK_ITEMS):
        strings.add(b"%08d" % n)
    assert strings.chunks_in_use == 100


def test_strings_that_come_in_any_order_take_few_chunks() -> None:
    strings = ExposedOrderedBytes()
    for n in random.Random(1).sample(range(100_000), 100_000):
        strings.add(b"%08d" % n)
    assert strings.chunks_in_use < 100_000 / CHUNK_ITEMS * 1.6
    assert strings.strings_from(b"00050000", 2) == [b"00050000", b"00050001"]
    for n in random.Random(2).sample(range(100_000), 99_000):
        assert strings.discard(b"%08d" % n)
    assert strings.chunks_in_use <= 1 + 1000 // (CHUNK_ITEMS // 4)


def test_set_owns_one_reference_to_each_string() -> None:
    item = b"a string of its own"
    before = sys.getrefcount(item)
    strings = ExposedOrderedBytes()
    strings.add(item)
    assert sys.getrefcount(item) == before + 1
    assert strings.discard(bytes(bytearray(item)))
    assert sys.getrefcount(item) == before
    strings.add(item)
    del strings
    assert sys.getrefcount(item) == before
