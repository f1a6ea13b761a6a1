"""Commands of the command line, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import START_SECONDS

MQ9FAST = (sys.executable, "-m", "mq9fast")


def run(
    *arguments: str | Path, stdin: str | bytes = "", cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run `mq9fast ARGUMENTS` to its end. Its output is no terminal."""
    return subprocess.run(
        [*MQ9FAST, *arguments],
        input=stdin if isinstance(stdin, str) else stdin.decode(),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **env},
    )


def error(*arguments: str | Path, status: int, stdin: str = "", cwd: Path | None = None, **env: str) -> str:
    """What a command writes to standard error that ends with `status` and writes nothing else."""
    done = run(*arguments, stdin=stdin, cwd=cwd, **env)
    assert (done.returncode, done.stdout) == (status, ""), done
    assert "Traceback" not in done.stderr
    return done.stderr
