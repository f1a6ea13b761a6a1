"""An edit that is appended to a MANIFEST is read as RocksDB's log format has it, wherever a block ends."""

import pytest

from mq9fast._core.storage.rocks_log import PayloadReader
from mq9fast.maintenance.manifest_edit import without_tables
from mq9fast.storage.write_ahead_log import BLOCK_BYTES

RECORD_BYTES = 7


@pytest.mark.parametrize("left", [1, 6, 7, 8, 10, 20, 5000])
@pytest.mark.parametrize("tables", [[(0, 9)], [(level, 1 << 20 | level) for level in range(6)]])
def test_edit_is_read_back(left: int, tables: list[tuple[int, int]]) -> None:
    # Another edit fills the first block but for `left` bytes, or one or two more.
    filler = without_tables(b"", [(0, 1)] * ((BLOCK_BYTES - RECORD_BYTES - left) // 3))
    content = without_tables(filler, tables)
    reader = PayloadReader()
    reader.feed(content)
    _, edit = reader.payloads
    assert reader.end == len(content)
    assert len(edit) == sum(2 + (1 if number < 128 else 3) for _, number in tables)
    assert edit[:2] == bytes([6, tables[0][0]])
