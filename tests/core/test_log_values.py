"""Tests of the values in a log: a power cut may take a value that the log still points to."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.storage.rocks_log import BatchReader, values_in
from tests.support.rocks_log import log_of, write_batch

KINDS = {"delete": 0, "put": 1, "delete range": 15, "merge": 2}


@given(st.lists(st.tuples(st.sampled_from([0, 1, 15]), st.binary(max_size=300), st.binary(max_size=300))))
def test_values_of_a_write_batch_are_those_that_it_puts(changes: list[tuple[int, bytes, bytes]]) -> None:
    payload = write_batch(*changes)
    assert values_in(payload) == [value for kind, _, value in changes if kind == KINDS["put"]]


def test_values_behind_a_foreign_change_are_not_read() -> None:
    put, merge = (KINDS["put"], b"key", b"value"), (KINDS["merge"], b"key", b"value")
    assert values_in(write_batch(put, merge, put)) == [b"value"]


@given(st.binary(max_size=200))
def test_values_of_random_bytes_end_within_them(data: bytes) -> None:
    for payload in (data, bytes(12) + data, write_batch((1, b"key", b"value")) + data):
        values = values_in(payload)
        assert sum(map(len, values)) <= len(payload)
        assert payload[12:16] != b"\1\3key" or values[:1] == [b"value"]


@given(st.data())
def test_values_of_a_cut_write_batch_are_the_first_ones(data: st.DataObject) -> None:
    payload = write_batch(*((1, b"key", bytes([n]) * (n * 50)) for n in range(1, 5)))
    values = values_in(payload)
    found = values_in(payload[: data.draw(st.integers(0, len(payload) - 1))])
    assert found == values[: len(found)]
    assert len(found) < len(values)


@pytest.mark.parametrize("unreadable", range(1, 5))
@pytest.mark.parametrize("synced", range(5))
def test_log_is_broken_at_an_unsynced_batch_with_an_unreadable_value(unreadable: int, synced: int) -> None:
    payloads = []
    for number in range(1, 5):
        head = struct.pack("<QI", number, 1)
        payloads.append(head + write_batch((1, b"key", b"value%d" % number))[12:])
    asked: list[bytes] = []

    def is_readable(value: bytes) -> bool:
        asked.append(value)
        return value != b"value%d" % unreadable

    reader = BatchReader(0, is_readable, synced)
    assert reader.feed(log_of(payloads)) == (unreadable <= synced)
    assert reader.last == (4 if unreadable <= synced else unreadable - 1)
    assert all(value > b"value%d" % synced for value in asked)
