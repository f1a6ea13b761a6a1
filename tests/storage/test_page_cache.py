"""How much of the value log stays in the page cache."""

import asyncio
import ctypes
import functools
import mmap
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from mq9fast._core.base.page_cache import begin_writing, forget_pages
from mq9fast.commit.page_cache import PageCacheLimit, available_memory_bytes, drop_pages
from mq9fast.storage import segment
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.segment import segment_name
from tests.support.value_log import KEYS, large, open_store, put
from tests.support.waiting import wait_until

VALUE_BYTES = 900_000
# Several steps of page_cache.pyx.
LARGE_BYTES = 5_000_000
CACHESTAT = 451


def cached_share(file: Path) -> float:
    """The share of a file's pages that are in the page cache."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as pages:
        count = -(-len(pages) // mmap.PAGESIZE)
        states = (ctypes.c_ubyte * count)()
        start = ctypes.c_char.from_buffer(pages)
        failed = ctypes.CDLL(None, use_errno=True).mincore(
            ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(pages)), states
        )
        del start
        assert not failed, os.strerror(ctypes.get_errno())
    return sum(state & 1 for state in states) / count


def can_drop(directory: Path) -> bool:
    """Whether the file system keeps its files elsewhere than in the page cache."""
    file = directory / "probe"
    file.write_bytes(b"x" * 100_000)
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    drop_pages([file])
    return cached_share(file) == 0


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RocksStore]:
    """With segments that hold one value each."""
    monkeypatch.setattr(segment, "MAX_SEGMENT_BYTES", 1 << 20)
    if not can_drop(tmp_path):
        pytest.skip("this file system has no page cache")
    store = open_store(tmp_path / "data")
    yield store
    store.close()


def fill(store: RocksStore, numbers: range) -> None:
    for number in numbers:
        put(store, {KEYS[number]: large(number, VALUE_BYTES)})


async def settle(limit: PageCacheLimit, done: Callable[[], bool]) -> None:
    """Work until `done()`."""
    deadline = time.monotonic() + 10
    limit.step()
    while not done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
        limit.step()


def in_event_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@in_event_loop
async def test_oldest_segments_leave_the_page_cache_past_the_limit(store: RocksStore, tmp_path: Path) -> None:
    files = [tmp_path / "data" / segment_name(number) for number in range(1, 7)]
    limit = PageCacheLimit(store.values, 2 * VALUE_BYTES + 100_000)
    fill(store, range(6))
    limit.step()
    await asyncio.sleep(0.1)
    # A page that is not on the disk yet cannot leave.
    assert [cached_share(file) for file in files] == [1.0] * 6
    store.sync()
    await settle(limit, lambda: cached_share(files[2]) == 0)
    assert [cached_share(file) for file in files] == [0, 0, 0, 1.0, 1.0, 1.0]
    fill(store, range(6, 7))
    store.sync()
    await settle(limit, lambda: cached_share(files[3]) == 0)
    assert cached_share(files[4]) == 1.0
    assert store.get(KEYS[0]) == large(0, VALUE_BYTES)


def test_all_of_a_large_file_leaves_the_page_cache(tmp_path: Path) -> None:
    if not can_drop(tmp_path):
        pytest.skip("this file system has no page cache")
    file = tmp_path / "large"
    file.write_bytes(bytes(LARGE_BYTES))
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    assert cached_share(file) == 1.0
    drop_pages([file])
    assert cached_share(file) == 0


def dirty_pages(descriptor: int) -> int:
    """The pages of a file that the system has not begun to write, by cachestat(2)."""
    where, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    call = ctypes.CDLL(None, use_errno=True).syscall
    if call(CACHESTAT, descriptor, where, found, 0):
        pytest.skip(f"the system does not tell: {os.strerror(ctypes.get_errno())}")
    return found[1]


def test_writing_a_large_file_begins_without_an_fsync(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(LARGE_BYTES))
    with file.open("rb") as opened:
        before = dirty_pages(opened.fileno())
        if not before:
            pytest.skip("this file system keeps nothing for later")
        begin_writing(opened.fileno(), 2 << 20, LARGE_BYTES)
        # The first 2 MiB are left alone.
        wait_until(lambda: dirty_pages(opened.fileno()) <= before // 2)
        begin_writing(opened.fileno(), 0, LARGE_BYTES)
        wait_until(lambda: dirty_pages(opened.fileno()) == 0)


def test_writing_what_cannot_be_written_early_is_left_to_the_fsync(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    begin_writing(writer, 0, 100)
    for descriptor in (reader, writer):
        os.close(descriptor)
    for refused in (lambda: begin_writing(reader, 0, 100), lambda: forget_pages(reader)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            refused()


@in_event_loop
async def test_segments_of_earlier_runs_stay(store: RocksStore, tmp_path: Path) -> None:
    fill(store, range(4))
    store.sync()
    limit = PageCacheLimit(store.values, 0)
    await settle(limit, lambda: True)
    await asyncio.sleep(0.1)
    assert cached_share(tmp_path / "data" / segment_name(1)) == 1.0


@in_event_loop
async def test_failure_is_raised_by_the_next_step(store: RocksStore, tmp_path: Path) -> None:
    limit = PageCacheLimit(store.values, 0)
    fill(store, range(3))
    store.sync()
    first = tmp_path / "data" / segment_name(1)
    content = first.read_bytes()
    first.unlink()
    first.symlink_to(first.name)  # no file: a loop
    with pytest.raises(OSError, match=r"values-00000001\.seg"):
        await settle(limit, lambda: False)
    first.unlink()
    first.write_bytes(content)


@in_event_loop
async def test_deleted_segment_is_no_failure(store: RocksStore, tmp_path: Path) -> None:
    limit = PageCacheLimit(store.values, 0)
    fill(store, range(3))
    store.sync()
    (tmp_path / "data" / segment_name(1)).unlink()
    await settle(limit, lambda: cached_share(tmp_path / "data" / segment_name(2)) == 0)


@pytest.mark.parametrize(
    ("limit", "share"), [("1048576\n", 1 << 20), ("max\n", None), (None, None), (str(1 << 62), None)]
)
def test_memory_is_that_of_the_container_if_it_has_less(
    tmp_path: Path, limit: str | None, share: int | None
) -> None:
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(limit)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert available_memory_bytes(file) == (machine if share is None else share)
