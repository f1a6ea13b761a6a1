"""Fixtures of fault tests: failing system calls, and a mailbox with a million messages."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.million import MILLION, Million
from tests.support.broker import Broker
from tests.support.faults.shim import Shim
from tests.support.mailbox import publish_many
from tests.support.wire_client import Wire


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


@pytest.fixture(scope="session")
def million(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Million]:
    """The mailbox is filled once for all tests."""
    broker = Broker(tmp_path_factory.mktemp("million") / "data", "--sync", "never")
    try:
        before = broker.rss_bytes
        with Wire(broker.port) as wire:
            wire.create(name="million")
            publish_many(wire, "million", MILLION, b"x" * 100)
            assert wire.list("million", limit=1)["total"] == MILLION
        yield Million(broker, before, broker.rss_bytes)
    finally:
        broker.end()
