"""What is left of an ended mailbox with receipts goes row by row, over many turns."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from mq9fast.mailbox import purges
from mq9fast.storage import layout
from tests.fuzz.whole_core import WholeCore
from tests.support.in_memory import pub

MAILBOX = b"$mq9.AI.MAILBOX."
ROWS = 6


class Reads:
    """Remembers where each scan of a core's store begins."""

    def __init__(self, core: WholeCore) -> None:
        self.begins: list[bytes] = []
        self._scan = core.store.scan
        core.store.scan = self.scan  # type: ignore[method-assign]

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        self.begins.append(first)
        return self._scan(first, end)


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> WholeCore:
    """A mailbox with ROWS rows has ended, and each call purges one row."""
    clock = itertools.count(step=purges.PURGE_SECONDS / 2)
    monkeypatch.setattr(purges, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    core = WholeCore()
    client = core.session()
    client.feed(pub(MAILBOX + b"CREATE", b'{"name":"log"}'))
    client.feed(pub(MAILBOX + b"CREATE", b'{"name":"box","ttl":1,"receipts_to":"log"}'))
    for number in range(ROWS):
        client.feed(pub(MAILBOX + b"MSG.box", b"%d" % number))
        core.end_turn()
    core.advance(2000)
    core.mailboxes.expire_due()
    core.end_turn()
    return core


def step(core: WholeCore) -> bool:
    more = core.mailboxes.purges.purge_some()
    core.end_turn()
    return more


def stored_rows(core: WholeCore) -> list[bytes]:
    first, end = layout.MESSAGES, layout.prefix_end(layout.MESSAGES)
    log = core.mailbox_index.get(b"log")
    assert log is not None
    return [key for key, _ in core.store.scan(first, end) if layout.uid_of(key) != log.uid]


def receipts(core: WholeCore) -> int:
    log = core.mailbox_index.get(b"log")
    return 0 if log is None else log.total_count


def test_each_step_reads_on_where_the_one_before_it_stopped(core: WholeCore) -> None:
    first = min(stored_rows(core))
    reads = Reads(core)
    while step(core):
        pass
    *steps, last = reads.begins
    assert len(steps) == ROWS + 1
    assert steps == sorted(set(steps))
    # Once more from the first key, before the purge counts as done.
    assert last < first
    assert stored_rows(core) == []
    assert receipts(core) == ROWS


def test_a_row_that_a_failed_store_has_again_is_purged(core: WholeCore) -> None:
    key = min(stored_rows(core))
    value = core.store.pairs[key]
    step(core)
    step(core)
    assert key not in core.store.pairs
    core.store.pairs[key] = value
    while step(core):
        pass
    assert stored_rows(core) == []
    assert len(core.mailboxes.purges) == 0
