"""A registry in memory, which loses answers and delays them as it is told."""

import asyncio

from mq9fast.cluster.registry import Entry, Outdated, OwnerRecord, RegistryError


class MemoryRegistry:
    """Implements `Registry`. `is_away`: nothing is answered. `loses_answers`: updates happen, unanswered."""

    def __init__(self) -> None:
        self.entry: Entry | None = None
        self.is_away = False
        self.loses_answers = False

    async def get(self) -> Entry | None:
        await asyncio.sleep(0)
        if self.is_away:
            raise RegistryError("no answer")
        return self.entry

    async def update(self, record: OwnerRecord, revision: int) -> int:
        await asyncio.sleep(0)
        if self.is_away:
            raise RegistryError("no answer")
        last = 0 if self.entry is None else self.entry.revision
        if revision != last:
            raise Outdated(f"the revision is {last}")
        self.entry = Entry(record, last + 1)
        if self.loses_answers:
            raise RegistryError("no answer")
        return last + 1
