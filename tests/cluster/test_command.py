"""The command `mq9fast cluster`: what it refuses. `test_client.py` shows the nodes of a real cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import START_SECONDS

THREE = "n1=10.0.0.1,n2=10.0.0.2,n3=10.0.0.3"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mq9fast", "cluster", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=START_SECONDS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("start",), "needs --name and --peers"),
        (("start", "--name", "n4", "--peers", "n1,n2,n3"), "n4 is not one of the peers"),
        (("start", "--name", "n1", "--peers", "n1,n2"), "3 to 9 nodes"),
        (("start", "--name", "n1", "--peers", THREE), "needs a secret"),
        (("start", "--name", "n1", "--peers", THREE, "--secret-file", "missing"), "cannot be read"),
        (("status", "--monitor", "http://127.0.0.1:1"), "no node answers"),
    ],
)
def test_what_is_refused(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode != 0 and done.stdout == ""
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
