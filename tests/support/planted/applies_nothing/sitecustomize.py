"""A fault that tests plant: a standby notes the place of each record, and applies nothing of it.

Python imports it at the start of each process that has this directory in PYTHONPATH.
"""

from collections.abc import Iterable

from mq9fast.cluster.record import Position
from mq9fast.cluster.replicated_store import ReplicatedStore

apply = ReplicatedStore.apply


def apply_nothing(self: ReplicatedStore, batches: Iterable[memoryview], position: Position) -> None:
    apply(self, (), position)


ReplicatedStore.apply = apply_nothing  # type: ignore[method-assign]
