"""`mq9fast passwd`: hashes that the broker accepts, and passwords that it never shows."""

from pathlib import Path

import bcrypt
import pytest

from tests.support.broker import Broker
from tests.support.command import error, on_terminal, run
from tests.support.wire_client import Wire


@pytest.mark.parametrize("line", ["s€cret", "s€cret\n", "s€cret\r\n", "s€cret\nmore\n"])
def test_the_first_line_of_standard_input_is_hashed(line: str) -> None:
    hashed = run("passwd", "--cost", "4", stdin=line).stdout.strip()
    assert hashed.startswith("$2b$04$")
    assert bcrypt.checkpw("s€cret".encode(), hashed.encode())


def test_a_user_of_the_file_signs_in_with_the_password(tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text(run("passwd", "--user", 'an"na', "--cost", "4", stdin="secret").stdout)
    broker = Broker(tmp_path / "data", "--config", str(config))
    with Wire(broker.port, {"user": 'an"na', "pass": "secret"}) as wire:
        wire.ping()
    broker.end()


def test_a_terminal_is_asked_twice_and_shows_nothing() -> None:
    status, shown = on_terminal(
        "passwd", "--cost", "4", answers={"Password: ": "secret", "Again: ": "secret"}
    )
    assert status == 0 and "secret" not in shown
    hashed = next(line for line in shown.splitlines() if line.startswith("$2b$"))
    assert bcrypt.checkpw(b"secret", hashed.encode())
    status, shown = on_terminal("passwd", answers={"Password: ": "secret", "Again: ": "other"})
    assert status == 2
    assert "the two passwords differ" in shown


@pytest.mark.parametrize("line", ["", "\n", "x" * 73, "a\0b"])
def test_what_bcrypt_cannot_hash_is_refused(line: str) -> None:
    text = error("passwd", status=2, stdin=line)
    assert text.startswith("mq9fast: the password is ")
    assert "x" * 73 not in text


def test_a_name_that_no_user_may_have_is_refused() -> None:
    assert "the user name" in error("passwd", "--user", " anna", status=2, stdin="x")
