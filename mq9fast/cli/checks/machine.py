"""Python, the packages, the limits, the clock and the disk."""

import ctypes
import importlib
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mq9fast.config.paths import utf8_path
from mq9fast.config.settings import Settings
from mq9fast.config.sources import unknown_variables
from mq9fast.network.descriptors import allowed_connections

OLDEST_PYTHON = (3, 10)
# Compiled packages without which no broker starts. uvloop only makes it faster.
NEEDED = ("mq9fast._core.session", "rocksdict", "msgspec")
FSYNC_SECONDS = 0.3
# With fewer fsyncs a second, one client that waits for each acknowledgement is slow.
FEW_FSYNCS = 100
# What adjtimex() returns while no time server keeps the clock right.
CLOCK_NOT_SYNCHRONIZED = 5


class Finding(NamedTuple):
    """What a check found. `state`: ok, warning, or error if the broker would not start."""

    check: str
    state: str
    detail: str


def python() -> Finding:
    """Whether this Python can run the broker."""
    state = "ok" if sys.version_info >= OLDEST_PYTHON else "error"
    return Finding("python", state, f"{platform.python_version()} in {sys.prefix}")


def core() -> Iterator[Finding]:
    """Whether the compiled parts can be imported."""
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield Finding("packages", "error", f"{name} cannot be imported: {error}")
            return
    try:
        importlib.import_module("uvloop")
    except ImportError:
        yield Finding("packages", "warning", "uvloop is not installed: the broker works, more slowly")
    else:
        yield Finding("packages", "ok", "the core is built, and what it needs is installed")


def variables() -> Finding:
    """Environment variables that look like settings and are none."""
    sentences = list(unknown_variables(os.environ))
    return Finding("variables", "warning" if sentences else "ok", "; ".join(sentences) or "none is unknown")


def open_files(settings: Settings) -> Finding:
    """Whether the limit of open files allows the connections that the settings promise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The broker raises the soft limit to the hard one by itself.
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        allowed = allowed_connections(settings.max_connections)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # The default of max_connections is no promise.
    few = allowed < settings.max_connections and "max_connections" in settings.explicit
    advice = ": raise `ulimit -n`" if few else ""
    text = f"{soft}, at most {hard}; room for {allowed} of {settings.max_connections} connections{advice}"
    return Finding("open files", "warning" if few else "ok", text)


def clock() -> Finding:
    """Whether a time server keeps the clock of a Linux machine right."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if sys.platform != "linux":
        return Finding("clock", "ok", now)
    # The first field of the struct is 0: ask, and set nothing. The struct has 208 bytes.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    if state == CLOCK_NOT_SYNCHRONIZED:
        return Finding("clock", "warning", f"{now}; no time server keeps it right, and TTLs follow it")
    return Finding("clock", "ok", now)


def disk(settings: Settings) -> Iterator[Finding]:
    """Free space and fsyncs a second, in the data directory or, before it exists, in the one above."""
    directory = utf8_path(settings.data_dir).absolute()
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    full = free <= settings.min_free
    text = f"{free >> 20} MiB free in {directory}"
    yield Finding("disk space", "warning" if full else "ok", text + (": sends are refused" if full else ""))
    try:
        rate = _fsyncs_per_second(directory)
    except OSError as error:
        yield Finding("disk writes", "error", f"{directory} cannot be written: {error.strerror}")
        return
    slow = settings.sync == "always" and rate < FEW_FSYNCS
    yield Finding("disk writes", "warning" if slow else "ok", f"{rate:.0f} fsyncs a second in {directory}")


def _fsyncs_per_second(directory: Path) -> float:
    with tempfile.TemporaryFile(dir=directory) as file:
        count, begin = 0, time.perf_counter()
        while (spent := time.perf_counter() - begin) < FSYNC_SECONDS:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            count += 1
    return count / spent
