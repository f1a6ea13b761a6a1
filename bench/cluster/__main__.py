"""`python -m bench.cluster`: run the comparisons, and print the ratios with their targets."""

import argparse
import shutil
import statistics
import sys
from pathlib import Path

from bench.cluster.failover import measure_failover
from bench.cluster.following import measure_follower
from bench.cluster.rows import comparisons
from bench.cluster.servers import REPLICATED
from bench.peers.comparison import RATE, Comparison, Row
from bench.peers.report import table_head, table_line, value
from bench.peers.rounds import Run, run, tell

ROOT = Path(__file__).parents[2]
QUICK_SCALE = 0.1
ROUNDS = 3


def lines_of(row: Row, outcome: Run) -> list[str]:
    """A line for each peer: both medians, how many times better the broker is, and the target."""
    medians = {
        label: statistics.median(figure.value for figure in figures)
        for label, figures in outcome.figures.get(row.name, {}).items()
    }
    ours = medians.pop(REPLICATED.name, None)
    lines = []
    for label, theirs in medians.items():
        if ours is None:
            continue
        ratio = ours / theirs if row.unit == RATE else theirs / ours
        target = row.ratios.get(label)
        cells = [row.name, value(ours, row.unit), label, value(theirs, row.unit), f"{ratio:.2f}"]
        lines.append(table_line([*cells, "" if target is None else f"{target:.2f}"]))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages, in one round")
    parser.add_argument(
        "-k", default="", help="only rows with this text in their names, or `follower`, or `failover`"
    )
    options = parser.parse_args()
    place = ROOT / "build" / "cluster"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    chosen: list[Comparison] = [
        each
        for each in comparisons(QUICK_SCALE if options.quick else 1.0)
        if any(options.k in row.name for row in each.rows)
    ]
    outcome = run(chosen, 1 if options.quick else ROUNDS, place)
    print("\n".join(table_head(["work", "mq9fast", "peer", "peer's figure", "ratio", "target"])))
    for comparison in chosen:
        for row in comparison.rows:
            print("\n".join(lines_of(row, outcome)))
    if options.k in "follower":
        print("\n".join(measure_follower(place / "follower", 0.1 if options.quick else 1.0)))
    if options.k in "failover":
        print("\n".join(measure_failover(place / "failover", 0.1 if options.quick else 1.0)))
    for label, reason in outcome.skipped.items():
        tell(f"skipped: {label}: {reason}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
