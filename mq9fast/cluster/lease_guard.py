"""Sends the clients of an owner away while it is cut off from the cluster, so that they find the next owner.

An owner is cut off if its lease has run out, and the log does not answer either. A lease alone may run out
while the servers that keep it elect a leader: the log still acknowledges what clients send then.
"""

import asyncio
import logging

from mq9fast.cluster.lease import Lease
from mq9fast.cluster.log_syncer import LogSyncer
from mq9fast.errors import StartError
from mq9fast.server.broker import Broker

log = logging.getLogger("mq9fast.cluster")

LOOK_SECONDS = 0.1
# The log does not answer if an append has taken this long. With the other times, an owner that is cut off has
# closed its connections before another node can have taken its place.
QUIET_SECONDS = 0.5
# The fault that /healthz shows meanwhile.
FAULT = "lease"


class LeaseGuard:
    """Looks after the clients of one owner. `broker` serves."""

    def __init__(self, lease: Lease, syncer: LogSyncer, broker: Broker) -> None:
        self._lease = lease
        self._syncer = syncer
        self._broker = broker
        # For how long renewals have been overdue while this process ran: it may have been stopped.
        self._overdue_seconds = 0.0

    async def run(self) -> None:
        """Returns only if clients can come back, and the port for them cannot be opened."""
        while True:
            await self._until(cut_off=True)
            log.warning("this node is cut off from the cluster, and sends its clients away")
            self._broker.health.report(FAULT, "the lease has run out, and the log does not answer")
            self._broker.pause()
            await self._until(cut_off=False)
            self._broker.health.clear(FAULT)
            try:
                await self._broker.resume()
            except StartError as error:
                log.error("clients cannot come back: %s", error)
                return
            log.info("this node reaches the cluster again, and serves")

    async def _until(self, *, cut_off: bool) -> None:
        while self._is_cut_off() != cut_off:  # noqa: ASYNC110 (time alone changes it)
            await asyncio.sleep(LOOK_SECONDS)

    def _is_cut_off(self) -> bool:
        """Called each LOOK_SECONDS."""
        if not self._lease.is_overdue:
            self._overdue_seconds = 0.0
            return False
        self._overdue_seconds += LOOK_SECONDS
        self._syncer.probe()
        quiet = min(self._syncer.waiting_seconds, self._overdue_seconds)
        return not self._lease.may_read() and quiet >= QUIET_SECONDS
