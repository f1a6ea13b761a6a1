"""Tests of `protocol/write_buffer`."""

import os
import random
import socket
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


@MANY
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=200), st.integers(0, 6000)), max_size=20))
def test_lent_bytes_are_written_in_order_or_kept(parts: list[tuple[bytes, int]]) -> None:
    """Each part is bytes that are copied, and the size of what is lent until the write."""
    buffer, wanted = ExposedWriteBuffer(), b""
    lent = [random.Random(size).randbytes(size) for _, size in parts]
    for (copied, _), data in zip(parts, lent, strict=True):
        buffer.write(copied)
        buffer.lend(data)
        wanted += copied + data
    reader, writer = socket.socketpair()
    with reader, writer:
        # The least that the system allows: it takes a part of what is more.
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        writer.setblocking(False)
        buffer.write_to(writer.fileno())
        lent.clear()
        writer.shutdown(socket.SHUT_WR)
        written = b"".join(iter(lambda: reader.recv(1 << 16), b""))
    assert len(buffer) == len(wanted) - len(written)
    assert written + buffer.taken() == wanted


def test_full_socket_takes_a_part() -> None:
    buffer, lent = ExposedWriteBuffer(), b"lent" * 100_000
    buffer.write(b"copied")
    buffer.lend(lent)
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        writer.setblocking(False)
        buffer.write_to(writer.fileno())
        assert 0 < len(buffer) < len(lent)
        first = len(buffer)
        buffer.write(b"more")
        buffer.lend(lent)
        # It is full now.
        buffer.write_to(writer.fileno())
        assert len(buffer) == first + 4 + len(lent)


def test_lent_bytes_are_kept_if_the_socket_is_broken() -> None:
    buffer = ExposedWriteBuffer()
    reader, writer = os.pipe()
    os.close(reader)
    buffer.write(b"copied")
    lent = b"lent" * 1000
    buffer.lend(lent)
    buffer.write_to(writer)
    os.close(writer)
    assert buffer.taken() == b"copied" + lent


def test_taken_bytes_contain_what_is_lent() -> None:
    buffer = ExposedWriteBuffer()
    lent = b"lent" * 1000
    buffer.write(b"before ")
    buffer.lend(lent)
    buffer.write(b" after")
    assert buffer.taken() == b"before " + lent + b" after"
    assert buffer.taken() == b""
