"""docs/cluster.md: each row of its table of failures names a test that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHAPTER = re.compile(r"^## What happens when\n(.*?)^## ", re.MULTILINE | re.DOTALL)


def test_each_failure_has_a_test() -> None:
    chapter = CHAPTER.search((ROOT / "docs/cluster.md").read_text())
    assert chapter is not None
    _header, _line, *rows = [line for line in chapter[1].splitlines() if line.startswith("|")]
    assert len(rows) > 20
    tests = "\n".join(path.read_text() for path in (ROOT / "tests/cluster").glob("test_*.py"))
    for row in rows:
        name = row.rstrip(" |").rpartition("`test_")[2].rstrip("`")
        assert f"def test_{name}(" in tests, row
