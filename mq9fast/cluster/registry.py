"""The interface of the registry: one record that says which node is the owner, changed by compare-and-set.

`cluster/jetstream_registry.py` implements it on a bucket of NATS. A test has one in memory.
"""

from typing import NamedTuple, Protocol

import msgspec


class RegistryError(Exception):
    """The registry did not answer, or answered with an error. The record may have changed all the same."""


class Outdated(RegistryError):  # noqa: N818
    """The record has another revision than the caller expected, and was not changed."""


class OwnerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Which node is the owner.

    `epoch`: rises by one with each owner. `instance`: a random text for each start of a process, so that a
    process does not take the record of its predecessor for its own. `released`: the owner has ended, so that
    another node need not wait until its lease has run out.
    """

    epoch: int
    node: str
    instance: str
    released: bool = False


class Entry(NamedTuple):
    """The record with its revision, which each change raises."""

    record: OwnerRecord
    revision: int


class Registry(Protocol):
    """Where the record is. A `revision` of 0 stands for no record."""

    async def get(self) -> Entry | None:
        """The record, or None if there is none yet. It may be an old one. Raises RegistryError."""
        ...

    async def update(self, record: OwnerRecord, revision: int) -> int:
        """Replace the record if it has this revision; returns its new one. Raises Outdated, RegistryError."""
        ...
