"""The metrics of a node of a cluster, in /metrics of its broker, or of the node while it is a standby."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from mq9fast.monitoring.cluster_view import ClusterView


class ClusterCollector:
    """The metrics of one node, read at each scrape."""

    def __init__(self, cluster: ClusterView) -> None:
        self._cluster = cluster

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        numbers = self._cluster.numbers()
        for name, help_text, value in (
            ("mq9fast_cluster_owner", "1 while this node is the owner", int(numbers.owner)),
            ("mq9fast_cluster_epoch", "Number of the owner that this node knows of", numbers.epoch),
            ("mq9fast_cluster_nodes", "Nodes that this node hears of, with itself", numbers.nodes),
            ("mq9fast_cluster_applied_record", "Last record of the log in the store", numbers.applied),
            ("mq9fast_cluster_lag_records", "Records of the log not in the store yet", numbers.lag_records),
            ("mq9fast_cluster_lag_seconds", "Age of the oldest of these records", numbers.lag_seconds),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)
        yield CounterMetricFamily(
            "mq9fast_cluster_takeovers", "Times this node became the owner", value=numbers.takeovers
        )
        yield CounterMetricFamily(
            "mq9fast_cluster_renewals_failed",
            "Renewals of the lease without an answer",
            value=numbers.renewals_failed,
        )
        yield SummaryMetricFamily(
            "mq9fast_cluster_append_seconds",
            "Appends to the log and the time they took",
            count_value=numbers.appends,
            sum_value=numbers.append_seconds,
        )
