"""The pytest plugin: the fixtures `mq9_broker`, a real broker, and `mq9`, for one test on that broker.

pytest loads it by its entry point wherever mq9fast is installed, so it imports the broker only when a test
asks for one.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mq9fast.client import Mq9
    from mq9fast.server.embedded import Broker

_numbers = itertools.count(1)


class Mq9Test:
    """What the fixture `mq9` gives a test: the broker, and addresses that no other test uses."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix

    def address(self, name: str) -> str:
        """The mail_address `name` of this test. Each test has its own mailboxes on the shared broker."""
        return f"{self.prefix}.{name}"

    def connect(self, **options: Any) -> "Mq9":
        """A client of the broker, for `async with`: `mq9fast.connect` with these options. Needs nats-py."""
        from mq9fast.client import connect

        return connect(self.url, **options)


@pytest.fixture(scope="session")
def mq9_settings() -> Mapping[str, Any]:
    """The settings of `mq9_broker`. Override this fixture in conftest.py to change them.

    The data is gone after the tests, so by default nothing waits for the disk.
    """
    return {"sync": "never"}


@pytest.fixture(scope="session")
def mq9_broker(mq9_settings: Mapping[str, Any]) -> "Iterator[Broker]":
    """A broker for all tests of the session: on a free port, in a thread, with a temporary directory."""
    from mq9fast.server.embedded import Broker

    with Broker(**mq9_settings) as broker:
        yield broker


@pytest.fixture
def mq9(mq9_broker: "Broker") -> Mq9Test:
    """The broker, a client for it, and mailbox addresses for this test alone."""
    return Mq9Test(mq9_broker.url, f"test-{next(_numbers)}")
