"""The debug build of the core: a failed assertion ends the process, and live objects are counted."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mq9fast._core.testing import debug_build
from mq9fast._core.testing.base import ExposedHeap, Ticket
from mq9fast._core.testing.debug_build import is_debug_build, live_objects
from tests.support.broker import Broker

debug_only = pytest.mark.skipif(
    not is_debug_build(), reason="a release build has no assertions and no counts"
)
UNSORTED = """
from mq9fast._core.mailbox.uid_set import UidSet
uids = UidSet()
uids.add(2)
uids.add(1)
print(1 in uids)
"""


@pytest.mark.skipif(os.environ.get("MQ9FAST_DEBUG") != "1", reason="not run by make test-debug")
def test_make_test_debug_runs_the_debug_core_and_brokers_with_it(tmp_path: Path) -> None:
    assert is_debug_build()
    broker = Broker(tmp_path / "data")
    mapped = Path(f"/proc/{broker.process.pid}/maps")
    try:
        assert not mapped.exists() or debug_build.__file__ in mapped.read_text()
    finally:
        broker.end()


@debug_only
def test_failed_assertion_ends_the_process() -> None:
    ran = subprocess.run([sys.executable, "-c", UNSORTED], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (-signal.SIGABRT, "")
    assert "uid_set.pyx" in ran.stderr
    assert "check failed: uids are sorted before they are searched" in ran.stderr


@debug_only
def test_objects_and_blocks_of_memory_are_counted() -> None:
    before = live_objects()
    heap = ExposedHeap()
    tickets = [Ticket(heap, 1, minor) for minor in range(100)]
    tickets[0].push()
    made = Counter(live_objects())
    made.subtract(before)
    assert +made == {"ExposedHeap": 1, "Ticket": 100, "blocks of base.heap": 1}
    del heap, tickets
    left = Counter(live_objects())
    left.subtract(before)
    assert not +left and not -left


@pytest.mark.skipif(is_debug_build(), reason="the debug core counts")
def test_release_counts_nothing() -> None:
    assert live_objects() == {}
