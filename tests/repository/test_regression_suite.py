"""The performance suite fails, and names the part, if a part repeats its work many times."""

import pytest

from bench.regression.__main__ import main
from bench.regression.comparisons import COMPARISONS


@pytest.mark.parametrize("name", COMPARISONS)
def test_slower_part_fails_the_suite_and_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-k", name, "--rounds", "2", "--handicap", "8"]) == 1
    assert capsys.readouterr().err == f"slower than they were: {name}\n"
