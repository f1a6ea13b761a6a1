"""How far a standby is behind under load, and how fast it applies what it has missed."""

import os
import shutil
import signal
import statistics
import threading
import time
from pathlib import Path

from bench.cluster.servers import Replicated
from bench.peers.rows_send import send

MESSAGES = 1_000_000
POLL_SECONDS = 0.02


def measure_follower(place: Path, scale: float) -> list[str]:
    """Lines with the results."""
    count = round(MESSAGES * scale / 1000) * 1000
    lines = [""]
    for measure in (_behind, _catches_up):
        server = Replicated(place)
        try:
            lines.append(measure(server, count))
        finally:
            server.end()
            shutil.rmtree(place)
    return lines


def _behind(server: Replicated, count: int) -> str:
    sending = threading.Thread(target=send, args=(server,), kwargs={"row": "", "count": count})
    behind: list[int] = []
    server.ask_standby()
    sending.start()
    while sending.is_alive():
        time.sleep(POLL_SECONDS)
        behind += server.ask_standby()[3]
    sending.join()
    share = sum(each <= 1 for each in behind) / len(behind)
    return (
        f"Under load {len(behind)} records came to the standby. When it began to apply one, the log had "
        f"{statistics.median(behind):.0f} more in the median and at most {max(behind)}; "
        f"for {share:.1%} of them it had at most one."
    )


def _catches_up(server: Replicated, count: int) -> str:
    assert server.standby is not None
    os.kill(server.standby.pid, signal.SIGSTOP)
    send(server, row="", count=count)
    os.kill(server.standby.pid, signal.SIGCONT)
    began, last, applied, cpu, ended = time.perf_counter(), -1, 0, 0.0, 0.0
    while True:
        reached, more, used, _ = server.ask_standby()
        if reached == last and applied:
            break
        applied, cpu, last, ended = applied + more, cpu + used, reached, time.perf_counter()
        time.sleep(POLL_SECONDS)
    seconds = ended - began
    return (
        f"It applied what it had missed, {applied / 1e6:.0f} MB, in {seconds:.2f} s: "
        f"{applied / seconds / 1e6:.0f} MB/s, and {applied / cpu / 1e6:.0f} MB in each second of its core."
    )
