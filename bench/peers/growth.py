"""`python -m bench.peers.growth`: every operation at a size and at 10 times the size, and the slope.

The slope is the exponent of the cost of one operation. 0: the cost does not grow. 1: it grows in proportion.
"""

import argparse
import json
import math
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.peers import versions
from bench.peers.cases import FACTOR, Case, cases
from bench.peers.comparison import RATE, Row
from bench.peers.machine import describe
from bench.peers.report import table_head, table_line, value
from bench.peers.rounds import Run, run, tell

ROOT = Path(__file__).parents[2]
ROUNDS = 5
QUICK_SCALE = 0.05
HEADS = ["grows", "from and to", "operation", "at the first", "at the second", "slope", "min to max"]


def main() -> int:
    options = arguments()
    scale = QUICK_SCALE if options.quick else 1.0
    place = ROOT / "build" / "peers"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    rounds = options.rounds or (2 if options.quick else ROUNDS)
    rows, failures = [], []
    for case in cases(scale):
        if any(options.k.lower() in f"{case.grows} {row.name}".lower() for row in case.operations):
            outcome = run([case.comparison()], rounds, place)
            failures += outcome.failures
            rows += [grown(case, row, outcome) for row in case.operations if not outcome.failures]
    facts = {**versions.run(ROOT), "rounds": rounds, "scale": scale, "machine": describe(place)}
    whole = rounds >= ROUNDS and not (options.quick or options.k or failures)
    keep({**facts, "rows": rows, "failures": failures}, ROOT / "bench" / "results" if whole else place)
    return 1 if failures else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.growth", description=__doc__)
    parser.add_argument(
        "-k", default="", metavar="TEXT", help="only operations with TEXT in their name or in what grows"
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the messages, two rounds")
    parser.add_argument(
        "--rounds", type=int, default=0, help=f"default: {ROUNDS}; results of fewer rounds are not kept"
    )
    return parser.parse_args()


def grown(case: Case, row: Row, outcome: Run) -> dict[str, Any]:
    """Return a row of the table. `slopes` are those of the rounds, `slope` is that of the medians."""
    small, large = outcome.figures[row.name].values()
    medians = [statistics.median(each.value for each in figures) for figures in (small, large)]
    return {
        "operation": row.name,
        "grows": case.grows,
        "sizes": [case.size, case.size * FACTOR],
        "unit": row.unit,
        "values": [[each.value for each in figures] for figures in (small, large)],
        "medians": medians,
        "slope": slope(row, *medians),
        "slopes": [slope(row, one.value, ten.value) for one, ten in zip(small, large, strict=True)],
    }


def slope(row: Row, small: float, large: float) -> float:
    """Return the exponent of the cost. The cost of a rate is its reciprocal."""
    return math.log(small / large if row.unit == RATE else large / small, FACTOR)


def keep(everything: dict[str, Any], directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    stem = f"{everything['date']}-growth"
    text = markdown(everything)
    (directory / f"{stem}.json").write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    (directory / f"{stem}.md").write_text(text)
    print(text)
    tell(f"kept in {directory}")


def markdown(everything: dict[str, Any]) -> str:
    lines = [
        f"# How cost grows, {everything['date']}",
        "",
        f"Commit {everything['commit']}, {everything['machine']['processor']}, medians of",
        f"{everything['rounds']} alternating rounds. The slope is the exponent of the cost of one operation:",
        "0: it does not grow; 1: it grows in proportion; below 0: it becomes cheaper.",
        "",
        *table_head(HEADS),
    ]
    lines += [table_line(_cells(row)) for row in everything["rows"]]
    return "\n".join([*lines, *(f"\nA round failed: {each}" for each in everything["failures"]), ""])


def _cells(row: dict[str, Any]) -> list[str]:
    small, large = (value(each, row["unit"]) for each in row["medians"])
    sizes = " → ".join(f"{size:,}" for size in row["sizes"])
    spread = f"{min(row['slopes']):+.2f} to {max(row['slopes']):+.2f}"
    return [row["grows"], sizes, row["operation"], small, large, f"{row['slope']:+.2f}", spread]


if __name__ == "__main__":
    sys.exit(main())
