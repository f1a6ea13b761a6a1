"""The perf suite can fail: a part that does its work many times over is found out, and named."""

import pytest

from bench.regression.__main__ import main
from bench.regression.contests import CONTESTS


@pytest.mark.parametrize("name", CONTESTS)
def test_a_part_that_got_slower_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-k", name, "--rounds", "2", "--handicap", "8"]) == 1
    assert capsys.readouterr().err == f"slower than they were: {name}\n"
