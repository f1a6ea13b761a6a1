"""docs/security.md: its settings exist with the defaults that it tells, and it lists every fuzz target."""

import re
from pathlib import Path

from mq9fast.config.settings import SETTINGS
from tests.fuzz.targets import TARGETS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
BY_NAME = {row.name: row for row in SETTINGS}
# Named in backquotes, and no settings of a broker: an option of a mailbox.
OTHERS = {"duplicate_window"}


def rows_of(chapter: str) -> list[list[str]]:
    """The cells of a chapter's table, without its head."""
    text = DOCUMENT.partition(f"\n## {chapter}\n")[2].partition("\n## ")[0]
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_setting_exists() -> None:
    named = set(re.findall(r"`([a-z]+_[a-z_]+)(?: = [\w-]+)?`", DOCUMENT)) - OTHERS
    assert named and named <= set(BY_NAME)


def test_limits_have_the_defaults_that_are_told() -> None:
    told = {}
    for _, bound, default in rows_of("What one client can use up"):
        for name in re.findall(r"`(\w+)`", bound):
            told.setdefault(name, default)
    limits = [name for name, default in told.items() if default == "no limit"]
    assert limits and all(BY_NAME[name].default == 0 for name in limits)
    assert (BY_NAME["max_connections"].default, BY_NAME["auth_timeout"].default) == (65536, 2.0)
    assert (BY_NAME["max_control_line"].default, BY_NAME["max_payload"].default) == (4096, 1 << 20)
    assert (BY_NAME["max_pending"].default, BY_NAME["write_deadline"].default) == (64 << 20, 10.0)
    assert (BY_NAME["ping_max"].default, BY_NAME["ping_interval"].default) == (2, 120.0)
    assert BY_NAME["min_free"].default == 128 << 20
    assert BY_NAME["ws_compression"].default is False
    assert (BY_NAME["host"].default, BY_NAME["monitor_host"].default) == ("127.0.0.1", "127.0.0.1")


def test_every_fuzz_target_is_listed() -> None:
    listed = [name for row in rows_of("What was fuzzed") for name in re.findall(r"`([\w-]+)`", row[0])]
    assert sorted(listed) == sorted(TARGETS)
