"""A mailbox with a million messages, filled once for all tests that need one."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.fault.load import publish_many
from tests.harness import Broker, Wire

MILLION = 1_000_000


class Million(NamedTuple):
    """A broker that holds a million 100-byte messages of normal priority in the mailbox `million`."""

    broker: Broker
    rss_before: int
    rss_after: int


@pytest.fixture(scope="session")
def million(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Million]:
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
