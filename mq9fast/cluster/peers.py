"""The nodes of a cluster as `mq9fast cluster start --peers` names them, and the ports of each."""

import re
from typing import NamedTuple

_PEER = re.compile(r"(?P<name>[A-Za-z0-9_-]{1,32})(?:=(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s,:/@\[\]=]+))?")
THIS_MACHINE = "127.0.0.1"
# The log needs a majority, and has three replicas.
MIN_PEERS, MAX_PEERS = 3, 9


class PeersError(Exception):
    """The list of peers cannot be used. The text is a sentence without a full stop."""


class Peer(NamedTuple):
    """One node. `place`: how many nodes before it in the list are on the same machine."""

    name: str
    host: str
    port: int
    place: int

    @property
    def client_port(self) -> int:
        """For clients of the broker."""
        return self.port + self.place

    @property
    def log_port(self) -> int:
        """For nodes, at the server of the log."""
        return self.port + 10 + self.place

    @property
    def route_port(self) -> int:
        """For the other servers of the log."""
        return self.port + 20 + self.place

    @property
    def transfer_port(self) -> int:
        """For nodes that copy the store."""
        return self.port + 30 + self.place

    @property
    def monitor_port(self) -> int:
        """The monitoring port of the broker."""
        return self.port + 4000 + self.place

    @property
    def log_monitor_port(self) -> int:
        """The monitoring port of the server of the log."""
        return self.port + 4010 + self.place

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine reach it."""
        return self.host in {THIS_MACHINE, "localhost", "[::1]"}


def read_peers(text: str, port: int) -> list[Peer]:
    """The nodes in a list such as n1,n2,n3 or n1=10.0.0.1,n2=10.0.0.2,n3=10.0.0.3.

    A node without an address is on this machine. `port`: the client port of the first node of each machine.
    Raises PeersError.
    """
    peers: list[Peer] = []
    for each in text.split(","):
        found = _PEER.fullmatch(each.strip())
        if found is None:
            raise PeersError(f"{each!r} is not a node such as n1 or n1=10.0.0.1")
        host = found["host"] or THIS_MACHINE
        if any(peer.name == found["name"] for peer in peers):
            raise PeersError(f"the node {found['name']} is listed twice")
        place = sum(peer.host == host for peer in peers)
        peers.append(Peer(found["name"], host, port, place))
    if not MIN_PEERS <= len(peers) <= MAX_PEERS:
        raise PeersError(f"a cluster has {MIN_PEERS} to {MAX_PEERS} nodes, not {len(peers)}")
    if len({peer.is_local for peer in peers}) > 1:
        raise PeersError(
            "some nodes have an address and some are on this machine: give all of them addresses"
        )
    return peers
