"""The states of a commit group. `CommitPipeline._set_state` moves it on; `CommitGroup.clear` starts it again.

               ┌ large values ──► WRITING ┐
               │                          ▼       ┌ fsync failed ──► FAILED
    GATHERING ─┴─ sealed ──────────► WRITTEN ── always ──► SYNCING
     │  ▲                               │         └ fsync done ────► RELEASED
     │  └ writes a batch early          └─ interval, never, or nothing was written ──► RELEASED
     └ if a write fails, the changes of its batch are undone; the group goes on gathering

A group that was released or has failed is emptied and may gather again as a new one.
"""

from enum import IntEnum


class GroupState(IntEnum):
    """What has become of a commit group."""

    GATHERING = 0
    """Commands add changes and replies. Earlier batches of the group may be in the store already."""

    WRITING = 1
    """Nothing is added any more. A thread writes the large values of the last batch."""

    WRITTEN = 2
    """Every batch is in the store, or its changes are undone."""

    SYNCING = 3
    """Threads make the store's logs durable."""

    RELEASED = 4
    """Durable, as far as the sync mode promises: replies and messages have left."""

    FAILED = 5
    """Not durable: every command in it was answered with store_unavailable."""


GATHERING, WRITING, WRITTEN, SYNCING, RELEASED, FAILED = GroupState

NEXT_STATES: dict[int, set[GroupState]] = {
    GATHERING: {WRITING, WRITTEN},
    WRITING: {WRITTEN},
    WRITTEN: {SYNCING, RELEASED},
    SYNCING: {RELEASED, FAILED},
    RELEASED: set(),
    FAILED: set(),
}
