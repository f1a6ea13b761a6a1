"""A fault that tests plant: a new owner appends no fence, and goes on behind what it has read.

Python imports it at the start of each process that has this directory in PYTHONPATH.
"""

import mq9fast.cluster.replica as replica
from mq9fast.cluster.follower import Follower
from mq9fast.cluster.log import Log
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.replicated_store import ReplicatedStore


async def take_over(log: Log, store: ReplicatedStore, follower: Follower, epoch: int, node_name: str) -> None:
    log._appender.end = follower.read  # type: ignore[attr-defined]
    store.writer = LogWriter(log, store.position.chain._replace(epoch=epoch))


replica.take_over = take_over
