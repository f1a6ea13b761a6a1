"""Tests of `protocol/write_buffer`."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.testing.protocol import ExposedWriteBuffer
from tests.support.in_memory import MANY


def test_empty_buffer_gives_no_bytes() -> None:
    buffer = ExposedWriteBuffer()
    assert (len(buffer), buffer.taken(), len(buffer)) == (0, b"", 0)
    buffer.write(b"")
    assert (len(buffer), buffer.taken()) == (0, b"")


@pytest.mark.parametrize("size", [1, 2, 511, 512, 513, 1024, 65536, (1 << 20) - 1, (1 << 20) + 1, 3 << 20])
def test_sizes_around_the_internal_limits(size: int) -> None:
    buffer = ExposedWriteBuffer()
    data = bytes(i & 255 for i in range(1000)) * (size // 1000 + 1)
    for _ in range(3):
        buffer.write(data[:size])
        assert len(buffer) == size
        assert buffer.taken() == data[:size]
        assert len(buffer) == 0


@MANY
@given(st.lists(st.one_of(st.none(), st.binary(max_size=700), st.integers(0, 5000).map(bytes)), max_size=20))
def test_buffer_behaves_as_a_bytearray(steps: list[bytes | None]) -> None:
    """Each step writes bytes, or takes what was written if it is None."""
    buffer, model = ExposedWriteBuffer(), bytearray()
    for step in steps:
        if step is None:
            assert buffer.taken() == bytes(model)
            model.clear()
        else:
            buffer.write(step)
            model += step
        assert len(buffer) == len(model)
    assert buffer.taken() == bytes(model)


def test_buffer_keeps_no_reference_to_taken_bytes() -> None:
    """A transport may still hold the bytes: the buffer must not change them or keep them alive."""
    buffer = ExposedWriteBuffer()
    buffer.write(b"first" * 200)
    taken = buffer.taken()
    assert sys.getrefcount(taken) == 2
    assert hash(taken) == hash(b"first" * 200)
    buffer.write(b"other" * 200)
    assert taken == b"first" * 200
    assert buffer.taken() == b"other" * 200


def test_single_bytes_are_not_the_shared_objects_of_cpython() -> None:
    """CPython shares one object for each single byte. Growing or shrinking must not change those objects."""
    for value in range(256):
        buffer = ExposedWriteBuffer()
        buffer.write(bytes([value]))
        assert buffer.taken() == bytes([value])
        buffer.write(bytes([255 - value]))
        assert buffer.taken() == bytes([255 - value])
    assert [bytes([i])[0] for i in range(256)] == list(range(256))


@pytest.mark.parametrize("already", [0, 10, 600])
@pytest.mark.parametrize("failing", ["write", "take"])
def test_buffer_is_usable_after_memory_error(failing: str, already: int) -> None:
    """MemoryError may lose what was written before. The buffer then works for what is written next."""
    testcapi = pytest.importorskip("_testcapi")
    buffer = ExposedWriteBuffer()
    # The next chunk is allocated as large as this one, so that `take` has to shrink it.
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
    assert len(buffer) == 0
    buffer.write(b"again")
    assert buffer.taken() == b"again"
