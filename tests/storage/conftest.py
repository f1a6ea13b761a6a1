"""Fixtures for tests of the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore


@pytest.fixture
def faulty_broker(tmp_path: Path) -> Iterator[BrokerOnFaultyStore]:
    """A broker in this process, on a store that fails as the test says."""
    running = BrokerOnFaultyStore(tmp_path / "data")
    yield running
    running.end()
