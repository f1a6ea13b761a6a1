"""From `pip install WHEEL` to the first message, in an empty environment without a compiler.

    python .ci/first_message.py dist/mq9fast-....whl

It prints the time of each step. The goal is 15 seconds to the first message; to miss it is no failure. Then
it runs the examples with the installed broker. A step that fails ends it with status 1.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOAL_SECONDS = 15.0
COMPILERS = ("cc", "gcc", "clang", "c99", "tcc", "zig")
# It needs users, and tests/repository/test_examples.py runs it.
SIGNED_IN = "approval_by_two.py"
FIRST_MESSAGE = """\
import asyncio, sys, nats

async def main():
    nc = await nats.connect(sys.argv[1])
    await nc.request("$mq9.AI.MAILBOX.CREATE", b'{"name": "first"}')
    await nc.request("$mq9.AI.MAILBOX.MSG.first", b"hello")
    inbox = await nc.subscribe("$mq9.AI.MAILBOX.MSG.first")
    assert (await inbox.next_msg()).data == b"hello"
    await nc.close()

asyncio.run(main())
"""


class Steps:
    """Prints what each step took, and how long all of them since the wheel was there."""

    def __init__(self) -> None:
        self.total = 0.0

    @contextmanager
    def time(self, name: str, *, counts: bool = True) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        seconds = time.perf_counter() - begin
        self.total += seconds if counts else 0
        print(f"{seconds:8.2f} s  {name}", flush=True)


def main(wheel: str) -> None:
    steps = Steps()
    with tempfile.TemporaryDirectory(prefix="mq9fast-install-") as folder:
        home = Path(folder)
        with steps.time("python -m venv (not counted)", counts=False):
            subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
        env = empty_environment(home)
        with steps.time(f"pip install '{Path(wheel).name}[cli]'"):
            install = (
                "-m",
                "pip",
                "install",
                "-q",
                "--only-binary",
                ":all:",
                f"{Path(wheel).resolve()}[cli]",
            )
            subprocess.run([env["PYTHON"], *install], check=True, env=env, cwd=home)
        with steps.time("mq9fast dev: the broker is ready"):
            broker = subprocess.Popen(
                ["mq9fast", "dev", "--port", "0", "--json"],
                stdout=subprocess.PIPE,
                text=True,
                env=env,
                cwd=home,
            )
            assert broker.stdout is not None
            url = json.loads(broker.stdout.readline())["url"]
        with steps.time("a program sends a message and receives it"):
            subprocess.run([env["PYTHON"], "-c", FIRST_MESSAGE, url], check=True, env=env, cwd=home)
        within = "within" if steps.total <= GOAL_SECONDS else "past"
        print(f"{steps.total:8.2f} s  from the wheel to the first message: {within} {GOAL_SECONDS:g} s")
        try:
            run_examples({**env, "NATS_URL": url}, steps)
        finally:
            broker.terminate()
        if broker.wait(60) != 0:
            sys.exit("the broker did not end cleanly")


def empty_environment(home: Path) -> dict[str, str]:
    """An environment in which only the new virtual environment's programs are found."""
    programs = home / "venv" / "bin"
    kept = {name: value for name, value in os.environ.items() if re.match(r"PIP_|SSL_|https?_proxy", name)}
    found = [name for name in COMPILERS if shutil.which(name, path=str(programs))]
    assert not found, found
    return {
        **kept,
        "PATH": str(programs),
        "PYTHON": str(programs / "python"),
        "HOME": str(home),
        "TMPDIR": str(home),
    }


def run_examples(env: dict[str, str], steps: Steps) -> None:
    examples = [
        path for path in sorted((ROOT / "examples").glob("*.py")) if path.name not in {"mq9.py", SIGNED_IN}
    ]
    with steps.time(f"{len(examples)} examples run", counts=False):
        started = [
            (
                path,
                subprocess.Popen(
                    [env["PYTHON"], path], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                ),
            )
            for path in examples
        ]
        for path, process in started:
            output, _ = process.communicate(timeout=300)
            if process.returncode:
                sys.exit(f"{path.name} failed:\n{output.decode('utf-8', 'replace')}")


if __name__ == "__main__":
    main(sys.argv[1])
