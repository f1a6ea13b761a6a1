"""docs/tutorial.md as a reader follows it: each block is pasted into `python -m asyncio`, in order.

There a block ends with an empty line, unlike in the programs of tests/repository/test_guides.py.
"""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.broker import Broker
from tests.support.waiting import START_SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_blocks_can_be_pasted(broker: Broker) -> None:
    pasted = "".join(f"{block}\n" for block in blocks("python"))
    ran = subprocess.run(
        [sys.executable, "-m", "asyncio"],
        input=pasted.replace("nats://127.0.0.1:4222", broker.url),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert "Error" not in ran.stderr, ran.stderr
    at = 0
    for line in "".join(blocks("text")).splitlines():
        at = ran.stdout.find(line, at)
        assert at >= 0, f"{line} is not in {ran.stdout}"
