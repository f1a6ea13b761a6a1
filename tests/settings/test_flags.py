"""A plain command line is read as argparse reads it, and argparse reads all others."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast.config.flag_parser import parse_flags, server_flags
from mq9fast.config.flags import plain_flags
from mq9fast.errors import UsageError

FLAGS = sorted(server_flags())
WORDS = st.sampled_from([*FLAGS, "4222", "", "-1", "--", "a=b", "-t", "--por", "--port=", "--port=1=2"])
ARGUMENTS = st.one_of(WORDS, st.builds("{}={}".format, st.sampled_from(FLAGS), WORDS))


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ([], {}),
        (["--port", "1", "--config=c.toml"], {"port": "1", "config": "c.toml"}),
        (["--tls-verify", "--no-console"], {"tls_verify": "True", "console": "False"}),
        (["--port=1", "--port", "2"], {"port": "2"}),
        (["--password=a=b"], {"password": "a=b"}),
    ],
)
def test_plain_flags(argv: Sequence[str], found: dict[str, str]) -> None:
    assert plain_flags(argv) == found


@pytest.mark.parametrize(
    "argv", [["--help"], ["--version"], ["-t"], ["--port"], ["--port", "-1"], ["--unknown=1"], ["x"], ["--"]]
)
def test_command_lines_that_are_not_plain(argv: Sequence[str]) -> None:
    assert plain_flags(argv) is None


@example(argv=["--monitor-port", ""])
@given(argv=st.lists(ARGUMENTS, max_size=5))
def test_both_readers_agree(argv: list[str]) -> None:
    found = plain_flags(argv)
    if found is None:
        return
    try:
        assert parse_flags(argv, str) == found
    except UsageError as error:
        raise AssertionError(f"plain_flags accepts {argv}") from error
