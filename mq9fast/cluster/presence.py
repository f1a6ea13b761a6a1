"""What the nodes of a cluster tell each other: each publishes its state again and again, as a plain message.

Nothing of it is stored. A node that was not heard for PRESENT_SECONDS counts as gone. Who the owner is does
not depend on it; trimming, seeding, `connect_urls` and the status pages do.
"""

import logging
import time
from collections.abc import Callable, Iterable

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from mq9fast.cluster.nats_connection import NATS_ERRORS

log = logging.getLogger("mq9fast.cluster")

TELL_SECONDS = 0.5
PRESENT_SECONDS = 3.0
# A node that lacks this many records more than another one is far behind.
FAR_RECORDS = 1000


class NodeState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a node tells.

    `client_urls`: addresses for clients, as host:port. `transfer`: host:port from which its store can be
    copied, "" if it cannot. `applied`, `durable`: the last record of the log that its store has, and from
    which on it needs the log after a power cut. `lag_seconds`: how long ago other nodes had the oldest record
    that it lacks. `log_full`: it is the owner, and the log refuses its records.
    """

    node: str
    instance: str
    role: str = "starting"
    epoch: int = 0
    version: str = ""
    client_urls: tuple[str, ...] = ()
    transfer: str = ""
    applied: int = 0
    durable: int = 0
    faults: tuple[str, ...] = ()
    lag_seconds: float = 0.0
    log_full: bool = False


def copy_source(nodes: Iterable[NodeState]) -> NodeState | None:
    """The node whose store is the best to copy: a standby that is not far behind, or else the owner.

    None if no node has a store that can be copied. One that has applied nothing helps nobody.
    """
    able = [each for each in nodes if each.role in {"standby", "owner"} and each.transfer and each.applied]
    end = max((each.applied for each in able), default=0)
    near = [each for each in able if each.applied + FAR_RECORDS >= end]
    return min(near, key=lambda each: (each.role == "owner", -each.applied), default=None)


class Presence:
    """The states of the nodes of one cluster, by name. `changed` is called when client addresses change."""

    def __init__(self, client: Client, name: str, state: NodeState, changed: Callable[[], None]) -> None:
        self._client = client
        self._subject = f"{name}.nodes"
        self.state = state
        self._changed = changed
        self._heard: dict[str, tuple[float, NodeState]] = {}

    async def start(self) -> None:
        """Begin to listen. Raises one of NATS_ERRORS."""
        await self._client.subscribe(self._subject, cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        try:
            state = msgspec.json.decode(message.data, type=NodeState)
        except msgspec.DecodeError as error:
            log.warning("a node of another version? its state cannot be read: %s", error)
            return
        if state.node == self.state.node and state.instance != self.state.instance:
            log.error("another process is node %s too: give each node a name of its own", state.node)
            return
        before = self._heard.get(state.node)
        self._heard[state.node] = time.monotonic(), state
        if before is None or before[1].client_urls != state.client_urls:
            self._changed()

    async def tell(self) -> None:
        """Tell the other nodes the state of this one."""
        self._forget_gone()
        try:
            await self._client.publish(self._subject, msgspec.json.encode(self.state))
        except NATS_ERRORS as error:
            log.debug("the state of this node could not be told: %s", error)

    def _forget_gone(self) -> None:
        oldest = time.monotonic() - PRESENT_SECONDS
        gone = [name for name, (heard_at, _) in self._heard.items() if heard_at < oldest]
        for name in gone:
            del self._heard[name]
        if gone:
            log.warning("not heard of for %g s: node %s", PRESENT_SECONDS, ", ".join(gone))
            self._changed()

    @property
    def nodes(self) -> list[NodeState]:
        """The states of all nodes that are there, this one too, by name."""
        others = [state for _, state in self._heard.values() if state.node != self.state.node]
        return sorted([*others, self.state], key=lambda state: state.node)
