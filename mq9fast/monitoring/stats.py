"""What the monitoring pages read of a broker, as a Protocol.

`server.broker.Broker` has these attributes and passes itself to `routes.Monitor`. The pages only read them.
So monitoring imports nothing of `server/`, and a test can pass a stand-in.
"""

from typing import Protocol

from mq9fast._core.engine import Engine
from mq9fast.commit.pipeline import CommitPipeline
from mq9fast.config.settings import Settings
from mq9fast.health import Health
from mq9fast.mailbox.lifecycle import Mailboxes
from mq9fast.network.connection import Connection
from mq9fast.network.handshake import Handshake


class BrokerStats(Protocol):
    """A running broker, for reading."""

    settings: Settings
    # When the settings were read last, in Unix milliseconds.
    settings_since_ms: int
    # Host and port of the client port.
    address: tuple[str, int]
    # Open connections, by client id.
    connections: dict[int, Connection]
    # Connections accepted, and refused because of max_connections, since the start.
    total_connections: int
    refused_connections: int
    health: Health
    handshake: Handshake
    engine: Engine
    mailboxes: Mailboxes
    pipeline: CommitPipeline

    @property
    def lost_writes(self) -> int:
        """How many acknowledged changes this start found lost."""
