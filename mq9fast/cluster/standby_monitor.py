"""The monitoring port of a node that is no owner. The owner's broker opens the same port itself."""

import logging
from collections.abc import Callable

from mq9fast.cluster.standby_pages import StandbyPages
from mq9fast.config.settings import Settings
from mq9fast.health import Health
from mq9fast.monitoring.cluster_view import ClusterView
from mq9fast.monitoring.monitor import Monitor
from mq9fast.network.listen import in_url
from mq9fast.network.tls import of_monitoring_port, tls_context

log = logging.getLogger("mq9fast.cluster")


class StandbyMonitor:
    """Opens and closes the port. `role`: returns what the node does now."""

    def __init__(
        self, settings: Settings, cluster: ClusterView, health: Health, role: Callable[[], str]
    ) -> None:
        self._settings = settings
        self._pages = StandbyPages(cluster, health, role)
        self._monitor: Monitor | None = None

    async def open(self) -> None:
        """Open the port, unless the settings turn it off. Raises StartError."""
        settings = self._settings
        if settings.monitor_port < 0:
            return
        monitor = Monitor(lambda: self._pages, settings.monitor_base_path or "")
        tls = tls_context(of_monitoring_port(settings))
        await monitor.start(settings.monitor_host, settings.monitor_port, tls)
        self._monitor = monitor
        scheme = "http" if tls is None else "https"
        log.info("monitoring on %s://%s:%d", scheme, in_url(settings.monitor_host), monitor.port)

    def close(self) -> None:
        """Close the port, and all its connections."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
