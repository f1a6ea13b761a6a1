"""How fast a standby applies what it has missed."""

import os
import shutil
import signal
import time
from pathlib import Path

from bench.cluster.servers import Replicated
from bench.peers.rows_send import send

MESSAGES = 1_000_000


def measure_follower(place: Path, scale: float) -> list[str]:
    """Lines with the results."""
    server = Replicated(place)
    try:
        count = round(MESSAGES * scale / 1000) * 1000
        standby = server.standby
        assert standby is not None
        server.ask_standby()
        os.kill(standby.pid, signal.SIGSTOP)
        send(server, row="", count=count)
        os.kill(standby.pid, signal.SIGCONT)
        began, applied, cpu = time.perf_counter(), 0, 0.0
        last = -1
        while True:
            time.sleep(0.05)
            reached, more, used = server.ask_standby()
            applied, cpu = applied + more, cpu + used
            if reached == last and applied:
                break
            last = reached
        seconds = time.perf_counter() - began
    finally:
        server.end()
        shutil.rmtree(place)
    return [
        "",
        f"A standby that was stopped while {count:,} messages were sent applied {applied / 1e6:.0f} MB in "
        f"{seconds:.2f} s: {applied / seconds / 1e6:.0f} MB/s, with {cpu:.2f} s of a core: "
        f"{applied / cpu / 1e6:.0f} MB per CPU second.",
    ]
