"""A mailbox with a million messages."""

from typing import NamedTuple

from tests.support.broker import Broker

MILLION = 1_000_000


class Million(NamedTuple):
    """A broker that holds a million 100-byte messages of normal priority in the mailbox `million`."""

    broker: Broker
    rss_before: int
    rss_after: int
