"""docs/embedding.md: its programs run, and its tests pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import START_SECONDS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()
PROGRAMS, TESTS = (
    re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    for part in DOCUMENT.split("\n## Tests with pytest\n")
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_document_runs(program: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=START_SECONDS
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "nats://127.0.0.1:" in ran.stdout


def test_the_tests_of_the_document_pass(pytester: pytest.Pytester) -> None:
    test, settings = TESTS
    pytester.makeconftest(settings)
    pytester.makepyfile(test)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
