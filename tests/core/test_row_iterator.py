"""Tests of `storage/row_iterator`: a read error is not the end, and what the rows point into stays alive."""

import gc
import weakref

import pytest

from mq9fast._core.storage.row_iterator import RowIterator

PAIRS = [(b"a", b"1"), (b"b", b"2")]


class Iterator:
    """Like rocksdict's iterator: it is not valid at the end, and not valid at a row that cannot be read."""

    def __init__(self, reason: str = "") -> None:
        self._at = 0
        self._reason = reason

    def key(self) -> bytes | None:
        return PAIRS[self._at][0] if self._at < len(PAIRS) else None

    def value(self) -> bytes | None:
        return PAIRS[self._at][1] if self._at < len(PAIRS) else None

    def next(self) -> None:
        self._at += 1

    def prev(self) -> None:
        self._at -= 1

    def seek_to_last(self) -> None:
        self._at = len(PAIRS) - 1

    def status(self) -> None:
        if self._reason:
            raise RuntimeError(self._reason)


class Options:
    pass


class RowsError(Exception):
    pass


def rows_of(iterator: Iterator, options: object = None) -> RowIterator:
    return RowIterator(iterator, options, b"a", b"c", lambda *failure: RowsError(*failure), None)


def test_rows_come_in_order_and_end() -> None:
    rows = rows_of(Iterator())
    assert iter(rows) is rows
    assert list(rows) == PAIRS
    assert next(rows, None) is None


def test_options_live_as_long_as_the_rows() -> None:
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


def test_iterator_is_freed_at_the_end() -> None:
    iterator = Iterator()
    alive = weakref.ref(iterator)
    rows = rows_of(iterator)
    del iterator
    assert list(rows) == PAIRS
    assert alive() is None


def test_read_error_is_raised_and_is_not_the_end() -> None:
    rows = rows_of(Iterator("the disk is gone"))
    assert [next(rows), next(rows)] == PAIRS
    with pytest.raises(RowsError) as failure:
        next(rows)
    first, end, reason = failure.value.args
    assert (first, end, str(reason)) == (b"b\0", b"c", "the disk is gone")


def rows_back(iterator: Iterator, first: bytes) -> RowIterator:
    iterator.seek_to_last()
    return RowIterator(iterator, None, first, b"c", lambda *failure: RowsError(*failure), None, True)


@pytest.mark.parametrize("count", [1, 2])
def test_rows_come_backwards_down_to_the_first(count: int) -> None:
    iterator = Iterator()
    assert list(rows_back(iterator, PAIRS[-count][0])) == PAIRS[::-1][:count]
    # It did not go on below the first row, where there may be any number of deleted ones.
    assert iterator.key() == PAIRS[-count][0]


def test_read_error_backwards_is_raised_and_is_not_the_end() -> None:
    rows = rows_back(Iterator("the disk is gone"), b"a")
    assert [next(rows), next(rows)] == PAIRS[::-1]
    with pytest.raises(RowsError) as failure:
        next(rows)
    first, end, reason = failure.value.args
    assert (first, end, str(reason)) == (b"a", b"a", "the disk is gone")
