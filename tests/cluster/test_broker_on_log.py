"""`make test-log` runs tests on a broker with a standby: a standby that differs fails them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.wire_client import Wire

COMMAND = (sys.executable, "-m", "tests.support.logged_broker")
PLANTED = Path(__file__).parents[1] / "support/planted"
DIFFERENCE = "rows of the standby differ"
Start = Callable[..., Broker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a broker on a log, with or without a planted fault, and store a message."""
    brokers: list[Broker] = []

    def started(planted: str = "") -> Broker:
        env = {"PYTHONPATH": str(PLANTED / planted)} if planted else {}
        broker = Broker(tmp_path / "data", "--sync", "interval", command=COMMAND, env=env)
        brokers.append(broker)
        broker.is_on_log = True
        with Wire(broker.port) as wire:
            wire.create(name="a.b")
            wire.msg("a.b", "hello")
        return broker

    yield started
    for broker in brokers:
        broker.kill()


def test_standby_that_agrees(start: Start) -> None:
    broker = start()
    broker.check_standby()
    assert broker.stop() == 0
    assert not broker.log.read_text()


def test_standby_that_differs_is_found_after_a_test(start: Start) -> None:
    with pytest.raises(AssertionError, match=DIFFERENCE):
        start("applies_nothing").check_standby()


def test_standby_that_differs_is_found_at_a_stop(start: Start) -> None:
    broker = start("applies_nothing")
    assert broker.stop() == 1
    assert DIFFERENCE in broker.log.read_text()
