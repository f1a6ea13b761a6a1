"""The step from a standby to the owner of the log."""

from mq9fast.cluster.follower import Follower
from mq9fast.cluster.log import Log, LogRegressed
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.record import fence_record
from mq9fast.cluster.replicated_store import ReplicatedStore


async def take_over(log: Log, store: ReplicatedStore, follower: Follower, epoch: int, node_name: str) -> None:
    """Append a fence, and apply everything before it; `store` then writes to the log, as its owner.

    `epoch`: higher than that of each owner before. `follower` runs, and the caller stops it afterwards.
    Raises LogError.
    """
    confirmed = store.position.confirmed
    fence = await log.fence(fence_record(epoch, node_name))
    if fence <= confirmed:
        raise LogRegressed(f"the log had record {confirmed}, and a record that was added now is {fence}")
    await follower.reach(fence)
    store.writer = LogWriter(log, store.position.chain)
