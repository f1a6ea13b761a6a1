"""The attributes of a broker that the monitoring pages read, as a `typing.Protocol`.

`server.broker.Broker` has these attributes and passes itself to `routes.Pages`. The pages only read them.
So monitoring imports nothing of `server/`, and a test can pass a stand-in.
"""

from pathlib import Path
from typing import Protocol

from mq9fast._core.engine import Engine
from mq9fast._core.expirer import Expirer
from mq9fast.commit.pipeline import CommitPipeline
from mq9fast.config.settings import Settings
from mq9fast.health import Health
from mq9fast.mailbox.lifecycle import Mailboxes
from mq9fast.monitoring.cluster_view import ClusterView
from mq9fast.network.connection import Connection
from mq9fast.network.connection_record import ClosedConnections
from mq9fast.network.handshake import Handshake


class BrokerView(Protocol):
    """A running broker, for reading."""

    # The current settings. A reload replaces them.
    settings: Settings
    # When the settings were loaded last, in Unix milliseconds.
    settings_loaded_ms: int
    # When the broker began to serve, in broker time.
    started_ms: int
    # Host and port of the client port.
    address: tuple[str, int]
    # The directory of the store.
    data_dir: Path
    # Open connections, by client id.
    connections: dict[int, Connection]
    # The records of those that were closed last.
    closed_connections: ClosedConnections
    # Connections accepted since the start.
    total_connections: int
    # Connections refused since the start, because of max_connections.
    refused_connections: int
    # The faults that /healthz shows.
    health: Health
    # The name and id of the broker, and the fields of INFO.
    handshake: Handshake
    # Broker time, and the counters of messages and subscriptions.
    engine: Engine
    # The mailboxes in memory.
    mailboxes: Mailboxes
    # The counter of messages that expired.
    expirer: Expirer
    # The counters of commit groups and of failures of the store.
    pipeline: CommitPipeline
    # The node of which this is the broker, None outside of a cluster.
    cluster: ClusterView | None

    @property
    def lost_writes(self) -> int:
        """How many acknowledged changes this start found lost."""
