"""`python -m bench.peers.before DIRECTORY`: sends of 100 B to 1 MiB to this build, to the build of another
commit, and to JetStream, by turns.

DIRECTORY is a clone or a worktree of that commit, in which `python setup.py build_ext --inplace` was run.
Both builds run with the installed packages of this one.
"""

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from bench.peers import results, versions
from bench.peers.comparison import Comparison
from bench.peers.machine import describe, limits
from bench.peers.report import markdown
from bench.peers.rounds import run, tell
from bench.peers.rows_large import SENDS, Sends, send_comparison
from bench.peers.servers import mq9fast

ROOT = Path(__file__).parents[2]
ROUNDS = 3
SMALL = Sends(100, 1_500_000, 300_000, interval=3.5, always=2.5)
NAME = "before"


def comparison(sends: Sends, sync: str, tree: Path) -> Comparison:
    """The comparison with JetStream, and with the broker in `tree`."""
    found = send_comparison(sends, sync, 1.0)
    ours, theirs = found.sides
    rows = [replace(row, ratios={NAME: None, **row.ratios}) for row in found.rows]
    return Comparison(rows, [ours, replace(ours, setup=mq9fast(sync, tree=tree), name=NAME), theirs])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.before", description=__doc__)
    parser.add_argument("directory", type=Path, help="of the other commit, built")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}; fewer are not kept")
    options = parser.parse_args()
    tree = options.directory.resolve()
    place = ROOT / "build" / "before"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    sizes = [SMALL, *(each for each in SENDS if each.size > SMALL.size)]
    comparisons = [comparison(each, sync, tree) for sync in ("interval", "always") for each in sizes]
    measured_limits = limits(place, 1.0)
    outcome = run(comparisons, options.rounds, place)
    facts = versions.run(ROOT)
    facts["versions"] |= {NAME: f"mq9fast of commit {versions.commit(tree)}"}
    facts |= {
        "rounds": options.rounds,
        "scale": 1.0,
        "machine": describe(place),
        "limits": measured_limits,
        "rows": results.rows(comparisons, outcome),
        "skipped": outcome.skipped,
        "failures": outcome.failures,
    }
    whole = options.rounds >= ROUNDS and not outcome.failures
    stem = (ROOT / "bench" / "results" if whole else place) / f"{facts['date']}-before"
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    stem.with_suffix(".md").write_text(markdown(facts))
    print(markdown(facts))
    tell(f"kept in {stem.parent}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
