"""docs/from-nats-server.md: both configuration files are valid, and the table has settings that exist."""

import re
import subprocess
from pathlib import Path

import pytest

from mq9fast.config.settings import SETTINGS
from mq9fast.config.sources import FILE_ONLY, load_settings
from tests.support.broker import run_broker
from tests.support.certificates import Certificates
from tests.support.nats_server import NATS_SERVER

PAGE = (Path(__file__).parents[2] / "docs" / "from-nats-server.md").read_text()
THEIRS, OURS = re.findall(r"^```(?:toml)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def files(tmp_path: Path, certificates: Certificates) -> Path:
    for name in ("server.pem", "server.key", "ca.pem"):
        (tmp_path / name).write_bytes((certificates.path / name).read_bytes())
    return tmp_path


def test_the_file_of_nats_server_is_valid(files: Path) -> None:
    if NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    (files / "server.conf").write_text(THEIRS)
    done = subprocess.run([NATS_SERVER, "-t", "-c", "server.conf"], cwd=files, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_translated_file_is_valid(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "mq9.toml").write_text(OURS)
    monkeypatch.chdir(files)
    done = run_broker("check-config", "mq9.toml")
    assert done.returncode == 0, done.stderr
    done = run_broker("--config", "mq9.toml", "-t")
    assert done.returncode == 0, done.stderr


def test_the_translated_file_says_the_same(files: Path) -> None:
    """The values of the lines with plain values."""
    (files / "mq9.toml").write_text(OURS)
    settings = load_settings(["--config", str(files / "mq9.toml")], {})
    units = {"MB": 2**20, "KB": 2**10, "s": 1, "m": 60, "": 1}
    for name, number, unit in re.findall(r'^(\w+): "?(\d+)([A-Za-z]*)"?$', THEIRS, re.MULTILINE):
        assert getattr(settings, name) == int(number) * units[unit], name
    assert [user.name for user in settings.users] == re.findall(
        r'{ (?:user|nkey): "?([^",]+(?:,O=\w+)?)', THEIRS
    )


def test_the_settings_of_the_table_exist() -> None:
    table = PAGE.partition("## Line by line")[2]
    known = {row.name for row in SETTINGS} | set(FILE_ONLY) | {"system", "default_permissions"}
    for row in re.findall(r"^\| `.*?\| (.*?) \|", table, re.MULTILINE):
        for name in re.findall(r"`([a-z]+_[a-z_]+)", row):
            assert name in known | {"allow_responses"}, name
