"""Fail if a part of the core has become slower: `python -m bench.regression` (`make perf`).

Each part and its reference in plain Python (reference.py) are timed alternately, in one process. The ratio of
their best times is compared with thresholds.toml. A slow or busy machine slows down both.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.regression.comparisons import COMPARISONS, Comparison

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

THRESHOLDS = Path(__file__).with_name("thresholds.toml")
# Each reference runs about this long in a round, so that the clock's resolution does not matter.
ROUND_SECONDS = 0.02
# How often a comparison is measured until it passes.
TRIES = 3


def seconds(call: Callable[[], object], times: int, prepare: Callable[[], object]) -> float:
    """Processor time of `times` calls of `call`."""
    total = 0.0
    for _ in range(times):
        prepare()
        begin = time.process_time()
        call()
        total += time.process_time() - begin
    return total


def ratio(comparison: Comparison, rounds: int, handicap: int) -> float:
    """How many times faster the core is than its reference. The core does its work `handicap` times."""
    once = max(seconds(comparison.run_reference, 1, lambda: None), 1e-6)
    times = max(1, round(ROUND_SECONDS / once))
    core_seconds, reference_seconds = [], []
    for _ in range(rounds):
        core_seconds.append(seconds(comparison.run_core, times * handicap, comparison.prepare))
        reference_seconds.append(seconds(comparison.run_reference, times, lambda: None))
    return min(reference_seconds) / min(core_seconds)


def main(argv: list[str] | None = None) -> int:
    """Print a line for each comparison; the exit status is 1 if any is below its threshold.

    One that is below is measured again: another program may have taken the caches of the processor.
    """
    parser = argparse.ArgumentParser(prog="bench.regression", description=__doc__)
    parser.add_argument("-k", metavar="NAME", default="", help="only comparisons whose name contains this")
    parser.add_argument(
        "--rounds", type=int, default=50, help="number of rounds; the best of each side counts"
    )
    parser.add_argument(
        "--handicap", type=int, default=1, help="have the core do its work this many times, to see it fail"
    )
    options = parser.parse_args(argv)
    thresholds = tomllib.loads(THRESHOLDS.read_text())
    slower = []
    print(f"{'':20} {'ratio':>8} {'at least':>8}")
    for name, make in COMPARISONS.items():
        if options.k not in name:
            continue
        found = 0.0
        for _ in range(TRIES):
            found = max(found, ratio(make(), options.rounds, options.handicap))
            passed = found >= thresholds[name]
            if passed:
                break
        print(f"{name:20} {found:8.1f} {thresholds[name]:8.1f} {'' if passed else 'SLOWER'}", flush=True)
        if not passed:
            slower.append(name)
    if slower:
        print(f"slower than they were: {', '.join(slower)}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
