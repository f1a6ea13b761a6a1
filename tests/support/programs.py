"""Runs the programs that documents show."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Far longer than a busy machine takes.
MAX_SECONDS = 300.0
PROGRAM = """
import asyncio
from tests.support.nats_py import wait_patiently
wait_patiently()
async def main():
{}
asyncio.run(main())
"""


def run_in_coroutine(code: str) -> subprocess.CompletedProcess[str]:
    """Run code that may use `await`, in a process of its own. Where it does not say how long nats-py waits
    for something, that is longer than for a reader."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(textwrap.indent(code, "    "))],
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
