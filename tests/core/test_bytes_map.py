"""Tests of `base/bytes_map`: the table behaves as a dict does, also with keys that collide."""

import sys
from collections import Counter
from functools import cache

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mq9fast._core.testing.base import ExposedBytesMap

SEED = 7
MASK = (1 << 64) - 1


def hash_of(key: bytes, seed: int) -> int:
    """The same hash as `hash_view` in _core/base/view.pxd."""
    h = seed ^ (len(key) * 0x9E3779B97F4A7C15 & MASK)
    for at in range(0, len(key), 8):
        word = int.from_bytes(key[at : at + 8], sys.byteorder)
        h = (h ^ word) * 0xD6E8FEB86659FD93 & MASK
        h ^= h >> 32
    h = h * 0xD6E8FEB86659FD93 & MASK
    return h ^ (h >> 32)


@cache
def colliding_keys() -> list[bytes]:
    """Keys whose home is the last or the second slot in every table of up to 64 slots, so that their probe
    chains wrap around the end of the table."""
    keys = (b"key-%d" % i for i in range(40_000))
    found = [key for key in keys if hash_of(key, SEED) & 63 in (63, 1)]
    return found[:60]


class BytesMapAgainstDict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.table = ExposedBytesMap(SEED)
        self.model: dict[bytes, object] = {}

    keys = st.one_of(st.sampled_from(colliding_keys()), st.binary(max_size=20))

    @rule(key=keys, value=st.integers())
    def put(self, key: bytes, value: int) -> None:
        self.table.put(key, value)
        self.model[key] = value

    @rule(keys=st.lists(keys, max_size=30))
    def put_many(self, keys: list[bytes]) -> None:
        for key in keys:
            self.put(key, len(key))

    @rule(key=keys)
    def pop(self, key: bytes) -> None:
        assert self.table.pop(key) is (self.model.pop(key, None) is not None)

    @rule(data=st.data())
    def pop_existing_key(self, data: st.DataObject) -> None:
        if self.model:
            self.pop(data.draw(st.sampled_from(sorted(self.model))))

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        assert self.table.get(key) == self.model.get(key)

    @rule()
    def pop_all(self) -> None:
        for key in list(self.model):
            self.pop(key)

    @invariant()
    def same(self) -> None:
        assert len(self.table) == len(self.model)
        assert Counter(self.table) == Counter(self.model.values())
        for key, value in self.model.items():
            assert self.table.get(key) == value


TestBytesMapAgainstDict = BytesMapAgainstDict.TestCase
TestBytesMapAgainstDict.settings = settings(max_examples=100, stateful_step_count=40)


def test_hash_of_matches_the_hash_of_the_table() -> None:
    """In a table of four slots, the order of the values shows the home slots of their keys."""
    for i in range(200):
        keys = [b"a%d" % i, b"longer than a word %d" % i, bytes(i)]
        homes = {hash_of(key, SEED) & 3: key for key in keys}
        table = ExposedBytesMap(SEED)
        for key in homes.values():
            table.put(key, key)
        assert list(table) == [homes[home] for home in sorted(homes)]


def test_put_and_pop_thousands_of_keys() -> None:
    table = ExposedBytesMap(SEED)
    for i in range(5000):
        table.put(b"%d" % i, i)
    assert sorted(table) == list(range(5000))
    for i in range(0, 5000, 2):
        assert table.pop(b"%d" % i)
    assert sorted(table) == list(range(1, 5000, 2))
    assert [table.get(b"%d" % i) for i in range(4)] == [None, 1, None, 3]


def test_table_owns_one_reference_to_each_key_and_value() -> None:
    key, first, second = b"a key of its own", object(), object()
    before = [sys.getrefcount(each) for each in (key, first, second)]
    table = ExposedBytesMap(SEED)
    table.put(key, first)
    table.put(bytes(bytearray(key)), second)
    assert [sys.getrefcount(each) for each in (key, first, second)] == [
        before[0] + 1,
        before[1],
        before[2] + 1,
    ]
    assert table.get(key) is second
    assert table.pop(key)
    assert [sys.getrefcount(each) for each in (key, first, second)] == before
    table.put(key, first)
    del table
    assert [sys.getrefcount(each) for each in (key, first, second)] == before


def test_destructor_of_a_value_may_use_the_table() -> None:
    """The table drops its reference to an old value only after its slots are consistent again."""

    class UsesTableWhenDeleted:
        def __del__(self) -> None:
            seen.append((len(table), table.get(b"a")))
            table.put(b"from the destructor", len(seen))

    seen: list[tuple[int, object]] = []
    table = ExposedBytesMap(SEED)
    table.put(b"a", UsesTableWhenDeleted())
    table.put(b"a", 1)
    assert seen == [(1, 1)]
    table.put(b"a", UsesTableWhenDeleted())
    assert table.pop(b"a")
    assert seen == [(1, 1), (1, None)]
    assert table.get(b"from the destructor") == 2
