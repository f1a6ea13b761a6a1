"""docs/operations.md: its settings, metrics and users exist."""

import re
from pathlib import Path

from mq9fast.config.setting import Setting
from mq9fast.config.settings import SETTINGS
from mq9fast.config.sources import load_settings
from mq9fast.config.users import PermissionLists

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "operations.md").read_text()


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


def test_every_documented_metric_exists() -> None:
    counted = (ROOT / "mq9fast" / "monitoring" / "pages" / "metrics.py").read_text()
    named = set(re.findall(r"`(mq9fast_\w+)`", DOCUMENT + (ROOT / "docs" / "protocol.md").read_text()))
    assert named
    assert [name for name in named if f'"{name.removesuffix("_total")}"' not in counted] == []


def test_documented_users_can_be_loaded(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    path = tmp_path / "mq9.toml"
    path.write_text(shown)
    settings = load_settings(["--config", str(path)], {})
    assert [user.user for user in settings.users] == ["planner", None]
    assert settings.default_permissions == PermissionLists(publish=(), subscribe=())
