"""Commands of the command line, run as a user runs them."""

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
from pathlib import Path

from tests.support.waiting import START_SECONDS, WAIT_SECONDS

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


def on_terminal(*arguments: str | Path, answers: dict[str, str] | None = None, **env: str) -> tuple[int, str]:
    """Run `mq9fast ARGUMENTS` on a terminal. Returns its exit status and what it wrote there.

    `answers`: what to type, by the prompt after which to type it. Input before a prompt would be lost.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*MQ9FAST, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **env},
    )
    os.close(theirs)
    shown = b""
    waiting = dict(answers or {})
    while more := _read(ours):
        shown += more
        for prompt in [prompt for prompt in waiting if prompt.encode() in shown]:
            os.write(ours, waiting.pop(prompt).encode() + b"\n")
    os.close(ours)
    return process.wait(WAIT_SECONDS), shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    """What a program wrote; b"" when it has ended, or writes nothing for too long."""
    ready, _, _ = select.select([terminal], [], [], WAIT_SECONDS)
    try:
        return os.read(terminal, 65536) if ready else b""
    except OSError:  # so Linux reports that the last writer is gone
        return b""


def shell_environment(url: str, directory: Path) -> dict[str, str]:
    """The environment of a shell in which `mq9fast` is this one, and NATS_URL names the broker.

    `directory` receives a program, and is the home.
    """
    program = directory / "mq9fast"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mq9fast "$@"\n')
    program.chmod(0o755)
    path = f"{directory}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "NATS_URL": url, "HOME": str(directory)}
