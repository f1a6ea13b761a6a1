"""Fail if a part of the core got slower: `python -m bench.regression` (`make perf`).

Each part is measured against its twin in plain Python (twins.py), in turns and in one process, and the ratio
of their best times is held against thresholds.toml. A machine that is slow or busy is so for both.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.regression.contests import CONTESTS, Contest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

THRESHOLDS = Path(__file__).with_name("thresholds.toml")
# A side runs at least so long a round, so that the clock's steps do not matter.
ROUND_SECONDS = 0.02


def seconds(work: Callable[[], object], times: int, prepare: Callable[[], object]) -> float:
    """Processor time of `times` calls of `work`."""
    total = 0.0
    for _ in range(times):
        prepare()
        begin = time.process_time()
        work()
        total += time.process_time() - begin
    return total


def ratio(contest: Contest, rounds: int, handicap: int) -> float:
    """How many times faster the part is than its twin; `handicap` has the part do its work so many times."""
    once = max(seconds(contest.twin, 1, lambda: None), 1e-6)
    times = max(1, round(ROUND_SECONDS / once))
    part, twin = [], []
    for _ in range(rounds):
        part.append(seconds(contest.part, times * handicap, contest.prepare))
        twin.append(seconds(contest.twin, times, lambda: None))
    return min(twin) / min(part)


def main(argv: list[str] | None = None) -> int:
    """Print a line for each contest; the exit status is 1 if any is below its threshold."""
    parser = argparse.ArgumentParser(prog="bench.regression", description=__doc__)
    parser.add_argument("-k", metavar="NAME", default="", help="only contests whose name contains this")
    parser.add_argument("--rounds", type=int, default=15, help="of which the best of each side counts")
    parser.add_argument(
        "--handicap", type=int, default=1, help="have every part do its work so many times, to see it fail"
    )
    options = parser.parse_args(argv)
    thresholds = tomllib.loads(THRESHOLDS.read_text())
    slower = []
    print(f"{'':20} {'ratio':>8} {'at least':>8}")
    for name, make in CONTESTS.items():
        if options.k not in name:
            continue
        found = ratio(make(), options.rounds, options.handicap)
        passed = found >= thresholds[name]
        print(f"{name:20} {found:8.1f} {thresholds[name]:8.1f} {'' if passed else 'SLOWER'}", flush=True)
        if not passed:
            slower.append(name)
    if slower:
        print(f"slower than they were: {', '.join(slower)}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
