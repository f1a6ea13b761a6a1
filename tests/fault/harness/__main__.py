"""Work at random under random faults until the time is over, and print a table. Exit status 1: violations."""

import argparse
import sys
import time
from pathlib import Path

from tests.fault.harness.faults import BROKER
from tests.fault.harness.run import Kind, Result, Run

PHASES = 12


def main(kind: Kind, make_verb: str) -> int:
    """`make_verb`: what to make to do it again."""
    arguments = _arguments(kind)
    faults = arguments.faults.split(",") if arguments.faults else list(kind.faults)
    if unknown := set(faults) - kind.faults.keys():
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(kind.faults)}")
    deadline = time.monotonic() + arguments.seconds
    total, seed, runs = Result(), arguments.seed, 0
    while time.monotonic() < deadline and (not arguments.runs or runs < arguments.runs):
        result = Run(kind, seed, faults, arguments.phases, deadline - time.monotonic(), arguments.kept).run()
        for text in result.broken:
            print(text)
        if result.broken:
            print(f"to repeat it: make {make_verb} {_variables(arguments, seed)}", flush=True)
        total.add(result)
        seed, runs = seed + 1, runs + 1
        print(f"{_sums(total)} after {runs} runs", flush=True)
    print_table(total, arguments.seed, runs)
    return 1 if total.broken else 0


def _arguments(kind: Kind) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="no fault begins after this time")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the others count on")
    parser.add_argument("--runs", type=int, default=0, help="0: as many as there is time for")
    parser.add_argument("--phases", type=int, default=PHASES, help="faults of a run")
    parser.add_argument(
        "--faults", default="", help=f"some of these, with commas between them: {', '.join(kind.faults)}"
    )
    parser.add_argument(
        "--kept", type=Path, default=Path("build/fault"), help="for histories with violations"
    )
    return parser.parse_args()


def _variables(arguments: argparse.Namespace, seed: int) -> str:
    faults = f' FAULTS="{arguments.faults}"' if arguments.faults else ""
    return f"SEED={seed} RUNS=1 PHASES={arguments.phases}{faults}"


def _sums(total: Result) -> str:
    counts = total.counts.values()
    injected, operations = sum(one.injected for one in counts), sum(one.operations for one in counts)
    return f"{injected} faults, {operations} operations, {sum(one.violations for one in counts)} violations"


def print_table(total: Result, seed: int, runs: int) -> None:
    width = max(len(name) for name in ("fault", *total.counts)) + 2
    print(f"\n{'fault':<{width}}{'injected':>10}{'operations':>12}{'violations':>12}")
    for name, count in sorted(total.counts.items()):
        print(f"{name:<{width}}{count.injected:>10}{count.operations:>12}{count.violations:>12}")
    sums = [
        sum(getattr(count, name) for count in total.counts.values())
        for name in ("injected", "operations", "violations")
    ]
    print(f"{'all':<{width}}{sums[0]:>10}{sums[1]:>12}{sums[2]:>12}")
    print(f"seeds {seed} to {seed + runs - 1}", flush=True)


if __name__ == "__main__":
    sys.exit(main(BROKER, "fault"))
