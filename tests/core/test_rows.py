"""Rows keep what they point into, and what goes wrong with them is an error of the store."""

import gc
import weakref

import pytest

from mq9fast._core.rows import Rows

PAIRS = [(b"a", b"1"), (b"b", b"2")]


class Owner:
    pass


class RowsError(Exception):
    pass


def test_they_come_in_order_and_end() -> None:
    rows = Rows(iter(PAIRS), None, RowsError)
    assert iter(rows) is rows
    assert list(rows) == PAIRS
    assert next(rows, None) is None


def test_their_owner_lives_as_long_as_they_do() -> None:
    owner = Owner()
    alive = weakref.ref(owner)
    rows = Rows(iter(PAIRS), owner, RowsError)
    del owner
    gc.collect()
    assert alive() is not None
    assert list(rows) == PAIRS
    del rows
    gc.collect()
    assert alive() is None


def test_an_error_of_theirs_is_the_failure() -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield PAIRS[0]
        raise RuntimeError("the disk is gone")

    rows = Rows(broken(), None, RowsError)
    assert next(rows) == PAIRS[0]
    with pytest.raises(RowsError, match="the disk is gone"):
        next(rows)
