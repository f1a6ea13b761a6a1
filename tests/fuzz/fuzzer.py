"""Runs a target with changed inputs, and keeps those that reach something new.

The input that runs is in a file, which outlives the process: a sanitizer ends it at its first finding.
"""

import mmap
import random
import struct
import time
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.coverage import Coverage
from tests.fuzz.mutations import MAX_BYTES, Mutator
from tests.fuzz.target import Target

_HEAD = struct.Struct("QQ")


class Progress(NamedTuple):
    """What a fuzzer did: runs, inputs that reached something new, and edges of the core that were taken."""

    runs: int
    kept: int
    edges: int


class Record:
    """The number of runs, and the input of the last one, in a file that this process and its parent read."""

    def __init__(self, path: Path) -> None:
        size = _HEAD.size + 64 * MAX_BYTES
        with path.open("a+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)

    def write(self, runs: int, data: bytes) -> None:
        self._map[_HEAD.size : _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._map, 0, runs, len(data))

    def read(self) -> tuple[int, bytes]:
        runs, size = _HEAD.unpack_from(self._map)
        return runs, self._map[_HEAD.size : _HEAD.size + size]


def fuzz(target: Target, seed: int, seconds: float, record: Record) -> Progress:
    """Fuzz for `seconds`. Raises what the target raises; the record has the input."""
    chance, coverage = random.Random(f"{seed} {target.name}"), Coverage()
    mutator, runs = Mutator(chance, target.words), 0
    corpus = target.corpus()
    seeds = len(corpus)

    def run(data: bytes) -> bool:
        nonlocal runs
        runs += 1
        record.write(runs, data)
        coverage.begin()
        target.run(data)
        return coverage.is_new()

    for data in corpus:
        run(data)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutator.mutate(chance.choice(corpus), chance.choice(corpus))
        if run(data):
            corpus.append(data)
    return Progress(runs, len(corpus) - seeds, coverage.edges)
