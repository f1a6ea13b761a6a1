"""Rows keep what they point into, and an iterator that stopped at what it cannot read has not ended."""

import gc
import weakref

import pytest

from mq9fast._core.storage.row_iterator import RowIterator

PAIRS = [(b"a", b"1"), (b"b", b"2")]


class Iterator:
    """As RocksDB's through rocksdict: not valid at the end, and not valid at what cannot be read."""

    def __init__(self, reason: str = "") -> None:
        self._at = 0
        self._reason = reason

    def key(self) -> bytes | None:
        return PAIRS[self._at][0] if self._at < len(PAIRS) else None

    def value(self) -> bytes | None:
        return PAIRS[self._at][1] if self._at < len(PAIRS) else None

    def next(self) -> None:
        self._at += 1

    def status(self) -> None:
        if self._reason:
            raise RuntimeError(self._reason)


class Options:
    pass


class RowsError(Exception):
    pass


def rows_of(iterator: Iterator, options: object = None) -> RowIterator:
    return RowIterator(iterator, options, b"a", b"c", lambda *failure: RowsError(*failure))


def test_they_come_in_order_and_end() -> None:
    rows = rows_of(Iterator())
    assert iter(rows) is rows
    assert list(rows) == PAIRS
    assert next(rows, None) is None


def test_their_options_live_as_long_as_they_do() -> None:
    options = Options()
    alive = weakref.ref(options)
    rows = rows_of(Iterator(), options)
    del options
    gc.collect()
    assert alive() is not None
    assert list(rows) == PAIRS
    del rows
    gc.collect()
    assert alive() is None


def test_they_let_go_of_the_iterator_at_the_end() -> None:
    iterator = Iterator()
    alive = weakref.ref(iterator)
    rows = rows_of(iterator)
    del iterator
    assert list(rows) == PAIRS
    assert alive() is None


def test_what_could_not_be_read_is_an_error_and_no_end() -> None:
    rows = rows_of(Iterator("the disk is gone"))
    assert [next(rows), next(rows)] == PAIRS
    with pytest.raises(RowsError) as failure:
        next(rows)
    first, end, reason = failure.value.args
    assert (first, end, str(reason)) == (b"b\0", b"c", "the disk is gone")
