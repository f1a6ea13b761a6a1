"""The machine: its parts, and how fast it is at the basic operations of a broker."""

import os
import platform
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from bench.peers.exchange import READ_BYTES, Bytes, Source, exchange
from mq9fast.storage.rocks import RocksStore

COPY_BYTES = 256 << 20
LOOPBACK_BYTES = 4 << 30
ROCKS_BATCH = 1024
KEY_END = b"\xff" * 8


def describe(place: Path) -> dict[str, str]:
    return {
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / (1 << 20):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "disk": _file_system(place),
        "Python": platform.python_version(),
    }


def limits(place: Path, scale: float) -> dict[str, float]:
    """Return the best of three measurements of each limit."""
    measures: dict[str, Callable[[], float]] = {
        "loopback, one stream, bytes/s": lambda: loopback(int(LOOPBACK_BYTES * scale)),
        "memory copied, bytes/s": copying,
        "RocksDB batches of 1,024 puts of 100 B, puts/s": lambda: rocks(place / "puts", scale)[0],
        "RocksDB scan of them, records/s": lambda: rocks(place / "scan", scale)[1],
        "fdatasync after 100 B, a second": lambda: syncs(place / "sync", round(2000 * scale)),
    }
    return {name: max(measure() for _ in range(3)) for name, measure in measures.items()}


def loopback(size: int) -> float:
    """Use the calls of the benchmark's client; the receiver drops the bytes without copying them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    chunk = bytes(READ_BYTES)
    times = size // len(chunk)
    began = time.perf_counter()
    exchange([Source(sender, [chunk], times)], [Bytes(receiver, times * len(chunk))])
    return size / (time.perf_counter() - began)


def copying() -> float:
    source, target = bytearray(b"x") * COPY_BYTES, bytearray(COPY_BYTES)
    began = time.perf_counter()
    memoryview(target)[:] = source
    return COPY_BYTES / (time.perf_counter() - began)


def rocks(path: Path, scale: float) -> tuple[float, float]:
    """Return puts and scanned records a second, through the store of the broker with its options."""
    store, batches = RocksStore(path), round(1000 * scale)
    body = b"x" * 100
    began = time.perf_counter()
    for number in range(batches):
        batch = store.new_batch()
        for record in range(number * ROCKS_BATCH, (number + 1) * ROCKS_BATCH):
            batch.put(record.to_bytes(8, "big"), body)
        store.write(batch)
    written = time.perf_counter()
    records = sum(1 for _ in store.scan(b"\0", KEY_END))
    scanned = time.perf_counter()
    assert records == batches * ROCKS_BATCH
    store.close()
    shutil.rmtree(path)
    return records / (written - began), records / (scanned - written)


def syncs(path: Path, count: int) -> float:
    with path.open("wb", buffering=0) as file:
        began = time.perf_counter()
        for _ in range(count):
            file.write(b"x" * 100)
            os.fdatasync(file.fileno())
        seconds = time.perf_counter() - began
    path.unlink()
    return count / seconds


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "?"


def _file_system(place: Path) -> str:
    """Return the type and device of the file system of `place`: the one with the longest mount point."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [each for each in mounts if place.resolve().is_relative_to(each[1])]
    device, _, kind, *_ = max(above, key=lambda each: len(each[1]))
    return f"{kind} on {device}"
