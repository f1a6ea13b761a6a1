"""A broker with a monitoring port. The tests of a module share it."""

from collections.abc import Iterator

import pytest

from tests.support.broker import Broker
from tests.support.monitoring import monitor_port


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("monitored") / "data", "--monitor-port", "0")
    yield broker
    broker.end()


@pytest.fixture(scope="module")
def port(monitored: Broker) -> int:
    """Its monitoring port."""
    return monitor_port(monitored)
