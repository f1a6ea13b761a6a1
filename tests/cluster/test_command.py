"""The command `mq9fast cluster`: what it refuses, and what it shows of a node."""

import http.server
import json
import subprocess
import sys
import threading
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


def test_status_shows_each_node(tmp_path: Path) -> None:
    nodes = [
        {"node": name, "role": role, "epoch": 3, "applied": applied, "durable": 5, "lag_seconds": 0.0}
        | {"client_urls": ["127.0.0.1:4222"], "faults": []}
        for name, role, applied in (("n1", "owner", 9), ("n2", "standby", 7))
    ]

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"nodes": nodes}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = run("status", "--monitor", f"http://127.0.0.1:{server.server_port}", "--json", cwd=tmp_path)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["node"], row["role"], row["behind"]) for row in rows] == [
        ("n1", "owner", 0),
        ("n2", "standby", 2),
    ]
