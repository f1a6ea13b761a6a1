"""What was measured: the date, the commit, and the versions of all programs."""

import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.peers import amqp, resp
from bench.peers.nats import NATS_SERVER


def run(root: Path) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "commit": commit(root),
        "versions": {
            "mq9fast": ", ".join(f"{name} {version(name)}" for name in ("mq9fast", "rocksdict", "uvloop")),
            "nats-server": _output([str(NATS_SERVER), "--version"]),
            "Redis": _output([resp.program() or "", "--version"]) if resp.program() else "absent",
            "RabbitMQ": path.parents[1].name if (path := amqp.program()) else "absent",
        },
    }


def commit(root: Path) -> str:
    """The commit that is checked out in a directory, and whether files were changed."""
    short = _output(["git", "-C", str(root), "rev-parse", "--short", "HEAD"])
    changed = _output(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return f"{short} with changes" if changed else short


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
