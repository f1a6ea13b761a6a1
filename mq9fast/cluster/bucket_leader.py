"""Keeps the leader of the owner's bucket away from the owner's machine.

If one machine had both, its loss would take the owner and, for an election of 4 to 9 seconds, the bucket
through which another node takes over. `cluster/node.py` runs this while its node is the owner.
"""

import asyncio
import logging

from mq9fast.cluster.jetstream_registry import JetStreamRegistry
from mq9fast.cluster.registry import RegistryError

log = logging.getLogger("mq9fast.cluster")

LOOK_SECONDS = 5.0


async def keep_leader_away(registry: JetStreamRegistry, server: str) -> None:
    """Look again and again, until it is cancelled. `server`: the name of the nats-server on this machine."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            if await registry.move_leader_from(server):
                log.info("another server than %s leads the owner's bucket now", server)
        except RegistryError as error:
            log.debug("the leader of the owner's bucket was not moved: %s", error)
