"""Single damaged blocks of large tables: everything around them is found, in the same and in other tables."""

import random
import shutil
from pathlib import Path

import pytest

from mq9fast.maintenance.check import check_directory
from mq9fast.maintenance.salvage import salvage
from mq9fast.storage import layout
from mq9fast.storage.rocks import RocksStore
from tests.support.data_directory import flip_byte
from tests.support.stored_rows import mailbox_record, message_key, message_value
from tests.support.value_log import open_store, put

MAILBOXES = 40
MESSAGES = 60
SIZE = 800


@pytest.fixture(scope="module")
def two_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all messages and records in one table, and newer records in another one."""
    path = tmp_path_factory.mktemp("blocks") / "data"
    chance = random.Random(7)
    store = open_store(path)
    records = {
        b"bbox%02d" % uid: mailbox_record(
            uid=uid, next_id=MESSAGES, count2=MESSAGES, size_bytes=MESSAGES * SIZE
        )
        for uid in range(1, MAILBOXES + 1)
    }
    put(store, records)
    for uid in range(1, MAILBOXES + 1):
        rows = {
            message_key(uid, 2, number): message_value(number, b"", chance.randbytes(SIZE))
            for number in range(MESSAGES)
        }
        put(store, rows)
    put(store, {layout.COUNT_KEY: layout.number(MAILBOXES), layout.NEXT_UID_KEY: layout.number(100)})
    store.close()
    # A start writes what is in the log to a table.
    store = open_store(path)
    put(store, records)
    store.close()
    RocksStore(path).close()
    assert check_directory(path).is_sound
    return path


def damaged_copy(two_tables: Path, to: Path, offsets: tuple[float, ...]) -> Path:
    """A copy whose large table is damaged at these parts of its length."""
    path = Path(shutil.copytree(two_tables, to))
    table = max(path.glob("*.sst"), key=lambda file: file.stat().st_size)
    for part in offsets:
        flip_byte(table, int(table.stat().st_size * part))
    return path


@pytest.mark.parametrize("offsets", [(0.001,), (0.5,), (0.2, 0.4, 0.9), (0.001, 0.95)])
def test_only_damaged_blocks_are_lost(two_tables: Path, tmp_path: Path, offsets: tuple[float, ...]) -> None:
    path = damaged_copy(two_tables, tmp_path / "damaged", offsets)
    salvaged = salvage(path, tmp_path / "salvaged")
    # A block has 32 KiB, which is some 39 messages.
    lost = MAILBOXES * MESSAGES - salvaged.holds.messages
    assert 30 * len(offsets) < lost < 45 * len(offsets)
    assert sum(problem.messages or 0 for problem in salvaged.lost) == lost
    assert salvaged.holds.mailboxes == MAILBOXES
    assert not any("salvaged." in problem.mailbox for problem in salvaged.damage)
    assert check_directory(tmp_path / "salvaged").is_sound


def test_range_that_cannot_be_read_is_named(two_tables: Path, tmp_path: Path) -> None:
    path = damaged_copy(two_tables, tmp_path / "damaged", (0.5,))
    report = check_directory(path)
    gaps = [problem for problem in report.problems if problem.reason.startswith("messages cannot be read")]
    counts = [problem for problem in report.problems if problem.messages]
    assert {problem.mailbox for problem in counts} <= {problem.mailbox for problem in gaps}
    (first, *_) = gaps
    assert first.mailbox.startswith("box") and (first.first_id is not None or len(gaps) > 1)
