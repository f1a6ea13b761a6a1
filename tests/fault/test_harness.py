"""Random work under random faults for a few seconds: `make fault` in small."""

from pathlib import Path

import pytest

from tests.fault.harness.faults import BROKER, FAULTS
from tests.fault.harness.run import Run

# Two runs, so that two processes may work on them.
SOME = (
    ["kill", "kill in expiry", "power cut", "EIO or ENOSPC", "SIGSTOP", "kill in open"],
    ["power cut at a call", "kill in a flush", "failed fsync and power cut", "EMFILE", "kill in close"],
)


@pytest.mark.parametrize("faults", SOME, ids=["first", "second"])
def test_random_faults_break_no_rule(faults: list[str], tmp_path: Path) -> None:
    result = Run(BROKER, 1, faults, 4, 60, tmp_path).run()
    assert not result.broken, "\n".join(result.broken)
    assert sum(count.injected for count in result.counts.values()) > 0
    assert sum(count.operations for count in result.counts.values()) > 100


def test_faults_can_be_given_with_commas_between_them() -> None:
    assert not any("," in name for name in FAULTS)
