"""Fuzz all targets: python -m tests.fuzz [--seconds 60] [--seed N] [--targets session,rows] [--input FILE]

Each target has its share of the seconds. A table shows what was done. An input that shows a defect is kept in
`build/fuzz`, and the command that runs it again is printed. `make fuzz` runs this with the sanitized core.
"""

import argparse
import secrets
import sys
from pathlib import Path

from tests.fuzz.campaign import Outcome, run_campaign
from tests.fuzz.targets import TARGETS, find_target

FINDINGS = Path(__file__).parents[2] / "build" / "fuzz"


def report(outcome: Outcome) -> None:
    progress = outcome.progress
    counts = f"{progress.runs:>9,} {progress.kept:>6,} {progress.edges:>7,}" if progress else " " * 24
    print(f"{outcome.target:12} {counts}  {'' if outcome.problem is None else outcome.problem}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--input", type=Path, help="run the first of the targets once, with this input")
    options = parser.parse_args()
    names = options.targets.split(",")
    if options.input is not None:
        find_target(names[0]).run(options.input.read_bytes())
        return 0
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}\n{'target':12} {'runs':>9} {'kept':>6} {'edges':>7}", flush=True)
    outcomes = run_campaign(names, seed, options.seconds, FINDINGS, jobs=options.jobs, report=report)
    for outcome in outcomes:
        if outcome.problem is not None:
            again = f"python -m tests.fuzz --targets {outcome.target} --input {outcome.input}"
            print(f"\n{outcome.target}: {outcome.log}\n{again}")
    return int(any(outcome.problem for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
