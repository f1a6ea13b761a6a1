"""The table of settings in docs/operations.md is the broker's."""

import re
from pathlib import Path

from mq9fast.settings import SETTINGS, Setting

DOCUMENT = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()


def default_of(row: Setting) -> str:
    if row.default is None:
        return "none"
    if isinstance(row.default, bool):
        return str(row.default).lower()
    return f"{row.default} {row.unit}".rstrip()


def test_every_setting_is_documented_with_its_default() -> None:
    chapter = DOCUMENT.partition("\n## Settings\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| (.*?) \|", chapter, re.MULTILINE)
    assert documented == [(row.name, default_of(row)) for row in SETTINGS]
