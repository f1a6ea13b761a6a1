"""The memory of Nats-Msg-Ids of one mailbox: what is found and for how long, rows, and memory."""

import random
import struct

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.testing.mailbox import ExposedIds
from tests.support.stored_rows import message_key

IDS_RANK = 3
UID = 7
# Few values, so that ids repeat and share slots of the table.
HASHES = st.tuples(st.sampled_from([0, 1, 15, 16, 17, 1 << 63]), st.integers(0, 3))


def ids_row(created_ms: int, *entries: tuple[tuple[int, int], int]) -> bytes:
    packed = b"".join(struct.pack(">QQQ", *hashed, msg_id) for hashed, msg_id in entries)
    return struct.pack(">B3xIQ", 6, len(entries), created_ms) + packed


class Ids(RuleBasedStateMachine):
    """ExposedIds against lists. Time is the number of rows that were written."""

    @initialize()
    def begin(self) -> None:
        self.ids = ExposedIds(UID)
        self.unwritten: list[tuple[tuple[int, int], int]] = []
        self.rows: list[tuple[bytes, bytes, int, list[tuple[tuple[int, int], int]]]] = []
        self.now = 0
        self.next_id = 0

    @rule(hashed=HASHES, window=st.integers(0, 6))
    def send(self, hashed: tuple[int, int], window: int) -> None:
        oldest = max(self.now - window, 0)
        known = [entry for _, _, created, row in self.rows if created >= oldest for entry in row]
        newest = dict(known + self.unwritten)
        found = self.ids.find_id(hashed, oldest)
        assert found == newest.get(hashed)
        if found is None:
            self.ids.add_id(hashed, self.next_id)
            self.unwritten.append((hashed, self.next_id))
            self.next_id += 1

    @rule(count=st.integers(1, 40))
    def send_many(self, count: int) -> None:
        for _ in range(count):
            self.send((random.Random(self.next_id).getrandbits(64), 9), 6)

    @rule()
    def write(self) -> None:
        self.now += 1
        rows = self.ids.pack(self.now)
        if self.unwritten:
            key = message_key(UID, IDS_RANK, self.unwritten[-1][1])
            assert rows == [(key, ids_row(self.now, *self.unwritten))]
            self.rows.append((*rows[0], self.now, self.unwritten))
            self.unwritten = []
        else:
            assert rows == []

    @rule(window=st.integers(0, 6), most=st.integers(0, 3))
    def forget(self, window: int, most: int) -> None:
        oldest = max(self.now - window, 0)
        due = [key for key, _, created, _ in self.rows if created < oldest][:most]
        assert self.ids.drop(oldest, most) == due
        del self.rows[: len(due)]

    @rule()
    def restart(self) -> None:
        """What is not written is lost."""
        self.unwritten = []
        self.ids = ExposedIds(UID)
        for key, value, _, _ in self.rows:
            self.ids.load(key, value)

    @invariant()
    def size_is_right(self) -> None:
        assert len(self.ids) == sum(len(row) for *_, row in self.rows) + len(self.unwritten)


TestIds = Ids.TestCase


def test_long_batch_is_written_in_rows_of_1024() -> None:
    ids = ExposedIds(UID)
    for n in range(2500):
        ids.add_id((n, n), 10 + n)
    rows = ids.pack(5)
    assert [(key, len(value)) for key, value in rows] == [
        (message_key(UID, IDS_RANK, 10 + last), 16 + 24 * count)
        for last, count in ((1023, 1024), (2047, 1024), (2499, 452))
    ]
    assert ids.pack(6) == []
    assert len(ids.drop(6, 2)) == 2
    assert (ids.find_id((2047, 2047), 0), ids.find_id((2048, 2048), 0)) == (None, 2058)


def test_memory_for_an_id_is_at_most_64_bytes_and_is_given_back() -> None:
    ids = ExposedIds(UID)
    for n in range(10_000):
        ids.add_id((n * 0x9E3779B97F4A7C15 & (1 << 64) - 1, n), n)
        assert ids.bytes_used <= max(64 * len(ids), 512)
        if n % 100 == 99:
            ids.pack(n)
    for n in range(100, 10_001, 100):
        ids.drop(n, 1 << 20)
        assert len(ids) == 10_000 - n
        assert ids.bytes_used <= 256 * len(ids) + 12_000


@pytest.mark.parametrize(
    "value",
    [
        b"",
        ids_row(1),
        ids_row(1, ((1, 2), 3))[:-1],
        ids_row(1, ((1, 2), 3)) + b"\0",
        b"\x01" + ids_row(1, ((1, 2), 3))[1:],
        struct.pack(">B3xIQ", 6, 0xFFFFFFFF, 1),
    ],
)
def test_other_values_are_corrupt(value: bytes) -> None:
    ids = ExposedIds(UID)
    with pytest.raises(CorruptRecord):
        ids.load(message_key(UID, IDS_RANK, 1), value)
    assert len(ids) == 0
