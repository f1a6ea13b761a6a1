"""The write side of a connection."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.protocol.write_buffer import WriteBuffer
from tests.support.in_memory import MANY


def test_nothing_written() -> None:
    buffer = WriteBuffer()
    assert (buffer.size, buffer.taken(), buffer.size) == (0, b"", 0)
    buffer.write(b"")
    assert (buffer.size, buffer.taken()) == (0, b"")


@pytest.mark.parametrize("size", [1, 2, 511, 512, 513, 1024, 65536, (1 << 20) - 1, (1 << 20) + 1, 3 << 20])
def test_sizes_around_its_own(size: int) -> None:
    buffer = WriteBuffer()
    data = bytes(i & 255 for i in range(1000)) * (size // 1000 + 1)
    for _ in range(3):
        buffer.write(data[:size])
        assert buffer.size == size
        assert buffer.taken() == data[:size]
        assert buffer.size == 0


@MANY
@given(st.lists(st.one_of(st.none(), st.binary(max_size=700), st.integers(0, 5000).map(bytes)), max_size=20))
def test_against_a_bytearray(steps: list[bytes | None]) -> None:
    """None takes what was written."""
    buffer, model = WriteBuffer(), bytearray()
    for step in steps:
        if step is None:
            assert buffer.taken() == bytes(model)
            model.clear()
        else:
            buffer.write(step)
            model += step
        assert buffer.size == len(model)
    assert buffer.taken() == bytes(model)


def test_what_was_taken_is_the_takers_alone() -> None:
    """A transport may still hold it: the buffer neither changes it nor keeps it alive."""
    buffer = WriteBuffer()
    buffer.write(b"first" * 200)
    taken = buffer.taken()
    assert sys.getrefcount(taken) == 2
    assert hash(taken) == hash(b"first" * 200)
    buffer.write(b"other" * 200)
    assert taken == b"first" * 200
    assert buffer.taken() == b"other" * 200


def test_single_bytes_are_not_the_interpreters_shared_ones() -> None:
    """CPython keeps one object per single byte: growing or shrinking must never touch those."""
    for value in range(256):
        buffer = WriteBuffer()
        buffer.write(bytes([value]))
        assert buffer.taken() == bytes([value])
        buffer.write(bytes([255 - value]))
        assert buffer.taken() == bytes([255 - value])
    assert [bytes([i])[0] for i in range(256)] == list(range(256))


@pytest.mark.parametrize("already", [0, 10, 600])
@pytest.mark.parametrize("failing", ["write", "take"])
def test_out_of_memory(failing: str, already: int) -> None:
    """What was gathered may be lost, and MemoryError says so; the buffer goes on with what comes next."""
    testcapi = pytest.importorskip("_testcapi")
    buffer = WriteBuffer()
    # It expects as much again, so that a take has room to give back.
    buffer.write(b"x" * 100_000)
    buffer.taken()
    if already:
        buffer.write(b"x" * already)
    data = b"y" * 1_000_000
    testcapi.set_nomemory(0, 1)
    try:
        buffer.write(data) if failing == "write" else buffer.taken()
    except MemoryError:
        failed = True
    else:
        failed = False
    finally:
        testcapi.remove_mem_hooks()
    assert failed is (failing == "write" or already > 0)
    assert buffer.size == 0
    buffer.write(b"again")
    assert buffer.taken() == b"again"
