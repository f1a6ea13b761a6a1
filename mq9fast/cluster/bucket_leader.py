"""Keeps the leader of the owner's bucket away from the owner's machine.

If one machine had both, its loss would take the owner and, for an election of 4 to 9 seconds, the bucket
through which another node takes over. `cluster/node.py` runs this while its node is the owner.
"""

import asyncio
import logging

from mq9fast.cluster.jetstream_registry import JetStreamRegistry
from mq9fast.cluster.registry import RegistryError

log = logging.getLogger("mq9fast.cluster")

LOOK_SECONDS = 1.0
# The server of the owner before may be stopping, or not be there. It is not asked to lead for so many looks.
LOOKS_WITHOUT_FORMER = 5


async def keep_leader_away(registry: JetStreamRegistry, server: str, former: str | None) -> None:
    """Look at once and again and again, until it is cancelled.

    `server`: the name of the nats-server on this machine. `former`: of that on the machine of the owner
    before.
    """
    looks = 0
    while True:
        avoided = {server, former} if looks < LOOKS_WITHOUT_FORMER else {server}
        looks += 1
        try:
            if (new := await registry.move_leader_from(server, avoided)) is not None:
                log.info("the server %s leads the owner's bucket, instead of %s", new, server)
        except RegistryError as error:
            log.debug("the leader of the owner's bucket was not moved: %s", error)
        await asyncio.sleep(LOOK_SECONDS)
