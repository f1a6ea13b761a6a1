"""Fixtures of all benchmarks. Each benchmark counts items, so the last table can show rates."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.support.broker import Broker

Measure = Callable[..., Any]


@pytest.fixture
def measure(benchmark: BenchmarkFixture) -> Measure:
    """measure(items, function): time `function()`, which handles `items` messages, look-ups or puts.

    `setup` runs before each round and is not timed. Without `rounds`, pytest-benchmark chooses their number.
    """

    def run(items: int, function: Callable[[], Any], *, setup: Any = None, rounds: int = 0) -> None:
        benchmark.extra_info["items"] = items
        if rounds:
            benchmark.pedantic(function, setup=setup, rounds=rounds, iterations=1, warmup_rounds=1)
        else:
            assert setup is None
            benchmark(function)

    return run


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Start a broker with flags. It ends with the test."""
    brokers: list[Broker] = []

    def start(*flags: str) -> Broker:
        brokers.append(Broker(tmp_path / f"data{len(brokers)}", *flags))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.end()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the rates of the median round and of the best round."""
    benchmarks = [each for each in config._benchmarksession.benchmarks if "items" in each.extra_info]  # type: ignore[attr-defined]
    if not benchmarks:
        return
    terminalreporter.section("items per second")
    width = max(len(each.name) for each in benchmarks)
    terminalreporter.write_line(f"{'':{width}}  {'median':>12}  {'best':>12}  {'rounds':>6}")
    for each in benchmarks:
        items = each.extra_info["items"]
        median, best = items / each.stats.median, items / each.stats.min
        rounds = len(each.stats.data)
        terminalreporter.write_line(f"{each.name:{width}}  {median:12,.0f}  {best:12,.0f}  {rounds:6}")
