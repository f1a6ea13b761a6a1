"""Fixtures of fault tests: failing system calls."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.faults.shim import Shim


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    return Shim(tmp_path)


@pytest.fixture
def start(tmp_path: Path, shim: Shim) -> Iterator[Callable[..., Broker]]:
    """Start a broker with failing system calls."""
    brokers = []

    def start(*flags: str) -> Broker:
        broker = Broker(tmp_path / "data", "--monitor-port", "0", "--min-free", "0", *flags, env=shim.env)
        brokers.append(broker)
        return broker

    yield start
    for broker in brokers:
        broker.end()
