"""Every example keeps its promise, and keeps it again on what the run before left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import Broker

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "mq9.py")
MOST_SECONDS = 20.0


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_example_holds_twice(broker: Broker, script: str) -> None:
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, str(EXAMPLES / script)],
            env={"NATS_URL": broker.url, "PATH": ""},
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert ran.stdout
        assert not ran.stderr
