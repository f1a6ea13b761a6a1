"""Runs the rounds: each side once per round, with a fresh server that has the machine to itself."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.comparison import Comparison, Figure, Side

FAILURES = (OSError, EOFError, RuntimeError, AssertionError, subprocess.SubprocessError)


@dataclass
class Run:
    """The result: for each row and side, one figure per round."""

    figures: dict[str, dict[str, list[Figure]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def run(comparisons: Sequence[Comparison], rounds: int, place: Path) -> Run:
    result = Run()
    for comparison in comparisons:
        sides = [side for side in comparison.sides if not side.setup.missing]
        result.skipped |= {s.label: s.setup.missing for s in comparison.sides if s.setup.missing}
        for number in range(rounds):
            for side in sides:
                tell(f"{comparison.rows[0].name}: round {number + 1} of {rounds}, {side.label}")
                _measure(side, place / "server", result)
    return result


def _measure(side: Side, directory: Path, result: Run) -> None:
    server = None
    try:
        server = side.setup.start(directory)
        for row, figure in side.work(server).items():
            result.figures.setdefault(row, {}).setdefault(side.label, []).append(figure)
    except FAILURES as error:
        result.failures.append(f"{side.label}: {error!r}")
        tell(f"  failed: {error!r}")
    finally:
        if server is not None:
            server.end()
        shutil.rmtree(directory)


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
