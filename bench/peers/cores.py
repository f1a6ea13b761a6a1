"""`python -m bench.peers.cores`: the most that a second core could gain, measured with two brokers.

Two brokers share nothing, so one broker in several event loops, threads or processes cannot do better than
the two together. Each broker has its own client process, which uses the cores too.
"""

import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.peers import versions
from bench.peers.comparison import RATE
from bench.peers.report import table_head, table_line, value
from bench.peers.rounds import tell
from bench.peers.rows_core import publish, publish_to_nobody
from bench.peers.rows_send import send
from bench.peers.servers import Server, mq9fast

ROOT = Path(__file__).parents[2]
ROUNDS = 5
ROW = "rate"
Work = Callable[[Server], object]
WORKS: dict[str, Work] = {
    "published to nobody, 16 B": partial(publish_to_nobody, row=ROW, count=12_000_000, size=16),
    "1 → 1, 16 B": partial(publish, row=ROW, count=6_000_000, size=16),
    "sent, acknowledged, interval": partial(send, row=ROW, count=1_000_000),
    "sent, acknowledged, always": partial(send, row=ROW, count=1_000_000),
}


def measured(name: str, barrier, results) -> None:  # type: ignore[no-untyped-def]
    """Run in a separate process: start a broker, and start the load when all processes are ready."""
    with tempfile.TemporaryDirectory() as directory:
        server = mq9fast(name.rpartition(" ")[2] if "sent" in name else "interval").start(Path(directory))
        try:
            barrier.wait()
            figure = WORKS[name](server)[ROW]  # type: ignore[index]
            results.put((figure.value, figure.server_cpu_seconds / figure.seconds))
        finally:
            server.end()


def together(name: str, brokers: int) -> tuple[float, float]:
    """Return the messages a second of all brokers, and the mean of the cores that one broker used."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(brokers), context.Queue()
    processes = [context.Process(target=measured, args=(name, barrier, results)) for _ in range(brokers)]
    for process in processes:
        process.start()
    found = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return sum(rate for rate, _ in found), statistics.mean(cores for _, cores in found)


def compare(name: str) -> list[str]:
    """Return the cells of a line: one broker, two brokers, and the gain."""
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for number in range(ROUNDS):
        for brokers, rounds in found.items():
            tell(f"{name}: round {number + 1} of {ROUNDS}, {brokers}")
            rounds.append(together(name, brokers))
    (one, cores), (two, each) = (
        (statistics.median(rate for rate, _ in rounds), statistics.median(used for _, used in rounds))
        for rounds in found.values()
    )
    return [name, value(one, RATE), f"{cores:.2f}", value(two, RATE), f"{each:.2f}", f"{two / one:.2f}×"]


def main() -> int:
    facts = versions.run(ROOT)
    lines = [
        f"# What a second core could gain, {facts['date']}",
        "",
        f"Commit {facts['commit']}, {os.cpu_count()} cores, medians of {ROUNDS} alternating rounds.",
        "",
        *table_head(["work", "one broker", "its cores", "two brokers", "cores of each", "gain"]),
        *(table_line(compare(name)) for name in WORKS),
        "",
    ]
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / f"{facts['date']}-cores.md").write_text("\n".join(lines))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
