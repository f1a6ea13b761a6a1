"""What the monitoring pages read of a node of a cluster, as a `typing.Protocol`.

`cluster/node.py` has it. A broker outside of a cluster has none.
"""

from typing import Any, NamedTuple, Protocol


class ClusterNumbers(NamedTuple):
    """The numbers of one node. `appends`, `append_seconds` and `renewals_failed` count since it is owner."""

    owner: bool
    epoch: int
    nodes: int
    applied: int
    lag_records: int
    lag_seconds: float
    takeovers: int
    appends: int
    append_seconds: float
    renewals_failed: int


class ClusterView(Protocol):
    """A node, for reading."""

    def numbers(self) -> ClusterNumbers:
        """What /metrics shows."""
        ...

    def status(self) -> dict[str, Any]:
        """What /clusterz shows: this node, and all nodes that it hears of."""
        ...
