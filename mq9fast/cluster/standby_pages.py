"""The monitoring pages of a node that is no owner: it has no broker, whose pages would be on the port."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from mq9fast.health import Health
from mq9fast.monitoring.cluster_view import ClusterView
from mq9fast.monitoring.page import PROMETHEUS, Page, Route, json_page

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class StandbyPages:
    """/healthz, /clusterz and /metrics. `role`: returns what the node does now, such as "standby"."""

    def __init__(self, cluster: ClusterView, health: Health, role: Callable[[], str]) -> None:
        self._cluster = cluster
        self._health = health
        self._role = role
        self._registry: CollectorRegistry | None = None
        self.requests: Counter[str] = Counter()
        self.routes: dict[str, Route] = {
            "/healthz": self._healthz,
            "/clusterz": lambda _query: json_page(cluster.status()),
            "/metrics": self._metrics,
        }

    def _healthz(self, _query: str) -> Page:
        """A standby is well, and says what it is: a load balancer that looks for clients' port must not."""
        if self._health.ok:
            return json_page({"status": "ok", "role": self._role()})
        return json_page({"status": "unavailable", "error": "; ".join(self._health.reasons)}, status=503)

    def _metrics(self, _query: str) -> Page:
        from prometheus_client import CollectorRegistry, generate_latest

        from mq9fast.monitoring.pages.cluster_metrics import ClusterCollector

        if self._registry is None:
            self._registry = CollectorRegistry()
            self._registry.register(ClusterCollector(self._cluster))
        return Page(200, PROMETHEUS, (generate_latest(self._registry),))
