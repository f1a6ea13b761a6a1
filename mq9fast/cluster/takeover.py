"""The step from a standby to the owner of the log."""

from mq9fast.cluster.follower import Diverged, Follower
from mq9fast.cluster.log import Deposed, Log, LogRegressed
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.record import fence_record
from mq9fast.cluster.replicated_store import ReplicatedStore


async def take_over(log: Log, store: ReplicatedStore, follower: Follower, epoch: int, node_name: str) -> None:
    """Append a fence, and apply everything before it; `store` then writes to the log, as its owner.

    `epoch`: higher than that of each owner before. `follower` runs, and the caller stops it afterwards.
    Raises LogError, such as Diverged, Deposed and LogRegressed.
    """
    position = store.position
    fence = await log.fence(fence_record(epoch, node_name))
    if fence <= position.confirmed:
        raise LogRegressed(
            f"the log had record {position.confirmed}, and a record that was added now is {fence}"
        )
    if fence <= position.sequence:
        raise Diverged(f"the store has changes as record {position.sequence}, which the log never got")
    await follower.reach(fence)
    if store.position.chain.epoch != epoch:
        # Followers skip a fence that reaches the log behind one of a later owner, and all that comes with it.
        raise Deposed(f"epoch {store.position.chain.epoch} began before the fence of epoch {epoch}")
    store.writer = LogWriter(log, store.position.chain)
