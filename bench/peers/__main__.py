"""`python -m bench.peers`: run the comparisons, print the table, and keep the results of a complete run."""

import argparse
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.peers import (
    results,
    rows_core,
    rows_features,
    rows_large,
    rows_memory,
    rows_priority,
    rows_read,
    rows_send,
    rows_websocket,
    versions,
)
from bench.peers.comparison import Comparison
from bench.peers.draw import draw
from bench.peers.machine import describe, limits
from bench.peers.report import markdown
from bench.peers.rounds import run, tell

ROOT = Path(__file__).parents[2]
MODULES = [
    rows_core,
    rows_send,
    rows_read,
    rows_large,
    rows_memory,
    rows_priority,
    rows_features,
    rows_websocket,
]
QUICK_SCALE = 0.05
QUICK_ROUNDS = 2
ROUNDS = 5


def main() -> int:
    options = arguments()
    scale = QUICK_SCALE if options.quick else 1.0
    comparisons = [each for module in MODULES for each in chosen(module, scale, options.k)]
    place = ROOT / "build" / "peers"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    tell(f"{len(comparisons)} comparisons, {rounds} rounds each")
    measured_limits = limits(place, scale)
    outcome = run(comparisons, rounds, place)
    everything = {
        **versions.run(ROOT),
        "rounds": rounds,
        "scale": scale,
        "machine": describe(place),
        "limits": measured_limits,
        "rows": results.rows(comparisons, outcome),
        "skipped": outcome.skipped,
        "failures": outcome.failures,
    }
    whole = rounds >= ROUNDS and not (options.quick or options.k or outcome.failures)
    keep(everything, whole=whole, place=place)
    return 1 if outcome.failures else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument(
        "-k", default="", metavar="TEXT", help="only comparisons with TEXT in the name of a row or module"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a twentieth of the messages, two rounds; keeps no results"
    )
    parser.add_argument(
        "--rounds", type=int, default=0, help=f"default: {ROUNDS}; results of fewer rounds are not kept"
    )
    return parser.parse_args()


def chosen(module: ModuleType, scale: float, text: str) -> list[Comparison]:
    """The comparisons of a module with `text` in its name, or in the name of one of their rows."""
    found: list[Comparison] = module.comparisons(scale)
    if text in module.__name__:
        return found
    return [each for each in found if any(text.lower() in row.name.lower() for row in each.rows)]


def keep(everything: dict[str, Any], *, whole: bool, place: Path) -> None:
    """Keep a complete run in bench/results and docs, any other run in `place`."""
    directory = ROOT / "bench" / "results" if whole else place
    directory.mkdir(exist_ok=True)
    text = markdown(everything)
    (directory / f"{everything['date']}.json").write_text(
        json.dumps(everything, indent=1, ensure_ascii=False) + "\n"
    )
    (directory / f"{everything['date']}.md").write_text(text)
    picture = ROOT / "docs" / "performance.png" if whole else place / "performance.png"
    draw(everything, picture)
    print(text)
    tell(f"kept in {directory}, drawn in {picture}")


if __name__ == "__main__":
    sys.exit(main())
