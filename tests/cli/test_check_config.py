"""`mq9fast check-config`: each setting, where it comes from, and no secret."""

import json
from pathlib import Path

import pytest

from mq9fast.config.settings import SETTINGS
from tests.support.certificates import Certificates
from tests.support.command import error, run

SECRET = "hunter2"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mq9.toml"
    path.write_text(
        f'port = 4300\nsync = "never"\n[[users]]\nuser = "anna"\npassword = "{SECRET}"\n'
        'permissions.publish = ["$mq9.AI.MAILBOX.MSG.tenant.*"]\n'
    )
    return path


def test_each_setting_has_its_source(config: Path) -> None:
    done = run("check-config", config, "--", "--sync", "interval", MQ9FAST_MAX_PAYLOAD="99")
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, _, _ in rows[:-1]] == [row.name for row in SETTINGS]
    assert ["port", "4300", f"file {config}"] in rows
    assert ["sync", "interval", "flag --sync"] in rows
    assert ["max_payload", "99", "variable MQ9FAST_MAX_PAYLOAD"] in rows
    assert ["auto_create", "false", "default"] in rows
    assert rows[-1] == ["users", "anna", f"file {config}"]
    assert "warning: user 'anna': the publish permission" in done.stderr


def test_secrets_are_not_shown(config: Path) -> None:
    for done in (run("check-config", config), run("check-config", "--json", MQ9FAST_TOKEN=SECRET)):
        assert done.returncode == 0
        assert SECRET not in done.stdout + done.stderr
    (token,) = (row for row in map(json.loads, done.stdout.splitlines()) if row["setting"] == "token")
    assert token == {"setting": "token", "value": "***", "source": "variable MQ9FAST_TOKEN"}


def test_unknown_variables_are_warned_of() -> None:
    assert "warning: the variable MQ9FAST_PROT is not a setting: did you mean MQ9FAST_PORT?\n" in (
        run("check-config", MQ9FAST_PROT="5").stderr
    )


@pytest.mark.parametrize(
    ("flags", "sentence", "status"),
    [
        (["--port=x"], "port, given by the flag --port, must be a whole number from 0 to 65535", 1),
        (["--prot=5"], "unknown flag '--prot': did you mean --port?", 2),
        (["--ws-origins=x"], "ws_origins: 'x' is not an origin (example: https://example.org)", 1),
        (["--tls-cert=absent", "--tls-key=absent"], "absent", 1),
    ],
)
def test_what_the_broker_would_refuse_is_told(flags: list[str], sentence: str, status: int) -> None:
    assert sentence in error("check-config", "--", *flags, status=status)


def test_tls_files_are_read(certificates: Certificates) -> None:
    cert, key = certificates.cert_path("server"), certificates.key_path("server")
    assert run("check-config", "--", "--tls-cert", cert, "--tls-key", key).returncode == 0
    other = certificates.key_path("client")
    assert error("check-config", "--", "--tls-cert", cert, "--tls-key", other, status=1)
