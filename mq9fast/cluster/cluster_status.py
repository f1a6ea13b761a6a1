"""What the monitoring pages show of a node: implements `monitoring/cluster_view.py`."""

from typing import TYPE_CHECKING, Any

from mq9fast.monitoring.cluster_view import ClusterNumbers

if TYPE_CHECKING:
    from mq9fast.cluster.node import Node
    from mq9fast.cluster.presence import NodeState


class ClusterStatus:
    """The numbers and the page of one node."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def numbers(self) -> ClusterNumbers:
        """See `ClusterView`."""
        node, nodes = self._node, self._nodes()
        replica, lease = node.replica, node.lease
        syncer = None if node.broker is None else node.broker.pipeline.syncer
        applied = 0 if replica is None else replica.applied
        return ClusterNumbers(
            owner=node.broker is not None,
            epoch=node.state.epoch,
            nodes=len(nodes),
            applied=applied,
            lag_records=max(max(each.applied for each in nodes) - applied, 0),
            lag_seconds=node.state.lag_seconds,
            takeovers=node.takeovers,
            appends=0 if syncer is None else syncer.syncs,
            append_seconds=0.0 if syncer is None else syncer.sync_seconds,
            renewals_failed=0 if lease is None else lease.failed_renewals,
        )

    def status(self) -> dict[str, Any]:
        """See `ClusterView`."""
        node = self._node
        owner = next((each.node for each in self._nodes() if each.role == "owner"), None)
        return {
            "node": node.state.node,
            "cluster": node.settings.cluster_name,
            "owner": owner,
            "nodes": [_fields(each) for each in self._nodes()],
        }

    def _nodes(self) -> list["NodeState"]:
        node = self._node
        return [node.state] if node.presence is None else node.presence.nodes


def _fields(state: "NodeState") -> dict[str, Any]:
    """The fields of a state, with those at their defaults."""
    return {name: getattr(state, name) for name in state.__struct_fields__ if name != "instance"}
