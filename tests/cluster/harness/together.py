"""Runs what the tests of a module need at the same time: most of it waits for leases and elections."""

import contextlib
import functools
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

import pytest

from tests.cluster.harness.check import Checked, survives
from tests.cluster.harness.scene import Inject
from tests.support.local_cluster import LocalCluster

# More would keep two cores busy, and leases would run out.
LANES = 2

T = TypeVar("T")


class Together(Generic[T]):
    """The jobs of the tests of one module that are to run, by the names of the tests. They begin at once."""

    def __init__(self, request: pytest.FixtureRequest, jobs: Mapping[str, Callable[[], T]]) -> None:
        wanted = {item.name for item in request.session.items if item.path == request.path}
        self._pool = ThreadPoolExecutor(LANES)
        self._results = {name: self._pool.submit(job) for name, job in jobs.items() if name in wanted}

    def result(self, test: str) -> T:
        """Wait for the job of a test, and return its result. Raises what it raised."""
        return self._results[test].result()

    def __enter__(self) -> "Together[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def faults_together(
    request: pytest.FixtureRequest,
    start: Callable[[int], LocalCluster],
    faults: Mapping[str, Sequence[Inject]],
) -> Iterator[Together[Checked]]:
    """The faults of each test, one after the other, on one of LANES clusters. `start(n)` starts the nth."""
    free: queue.SimpleQueue[int] = queue.SimpleQueue()
    clusters: dict[int, LocalCluster] = {}
    for number in range(LANES):
        free.put(number)

    def survive(test: str) -> Checked:
        number = free.get()
        try:
            if number not in clusters:
                clusters[number] = start(number)
            return survives(clusters[number], test.removeprefix("test_").replace("_", "."), *faults[test])
        finally:
            free.put(number)

    try:
        with Together(request, {test: functools.partial(survive, test) for test in faults}) as together:
            yield together
    finally:
        for cluster in clusters.values():
            cluster.end()
