"""Creates the pages of a broker, and has them by path.

`server/broker.py` creates one `Pages`. The monitoring port serves them, and `$SYS.REQ.` requests are answered
with them. They read the broker, through `BrokerView`, and the store. Nothing in the broker waits for them.
"""

from collections import Counter
from typing import TYPE_CHECKING

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import PROMETHEUS, Page, Route, json_page
from mq9fast.monitoring.pages.absent import absent_pages
from mq9fast.monitoring.pages.accountz import Accountz
from mq9fast.monitoring.pages.accstatz import Accstatz
from mq9fast.monitoring.pages.connz import Connz
from mq9fast.monitoring.pages.healthz import Healthz
from mq9fast.monitoring.pages.mailboxz import Mailboxz
from mq9fast.monitoring.pages.subsz import Subsz
from mq9fast.monitoring.pages.varz import Varz
from mq9fast.monitoring.privacy import Privacy
from mq9fast.storage.store import Store

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

HTML = "text/html; charset=utf-8"


class Pages:
    """The pages of one broker, as `routes` by path. `requests` counts the HTTP requests of each path."""

    def __init__(self, broker: BrokerView, store: Store, http_port: int) -> None:
        """`http_port`: the monitoring port, 0 without one."""
        self._broker = broker
        self._registry: CollectorRegistry | None = None
        self.requests: Counter[str] = Counter()
        privacy = Privacy(broker.mailboxes.mailbox_index)
        subsz = Subsz(broker, privacy)
        varz = Varz(broker, self.requests, http_port)
        self.routes: dict[str, Route] = {
            "/": self._index,
            "/healthz": Healthz(broker).page,
            "/varz": varz.page,
            "/connz": Connz(broker, privacy).page,
            "/subsz": subsz.page,
            "/subscriptionsz": subsz.page,
            "/mailboxz": Mailboxz(broker, store, privacy).page,
            "/metrics": self._metrics,
        }
        if broker.cluster is not None:
            cluster = broker.cluster
            self.routes["/clusterz"] = lambda _query: json_page(cluster.status())
        self._linked = [path for path in self.routes if path != "/"]
        self.routes |= {"/accstatz": Accstatz(broker).page, "/accountz": Accountz(broker).page}
        self.routes |= absent_pages(broker)

    def _index(self, _query: str) -> Page:
        base = self._broker.settings.monitor_base_path or "."
        links = "".join(f'<li><a href="{base}{path}">{path}</a>' for path in self._linked)
        return Page(200, HTML, (f"<!doctype html><title>mq9fast</title><ul>{links}</ul>\n".encode(),))

    def _metrics(self, _query: str) -> Page:
        # Imported late, to start faster.
        from prometheus_client import CollectorRegistry, generate_latest

        from mq9fast.monitoring.pages.metrics import BrokerCollector

        if self._registry is None:
            self._registry = CollectorRegistry()
            self._registry.register(BrokerCollector(self._broker))
            if self._broker.cluster is not None:
                from mq9fast.monitoring.pages.cluster_metrics import ClusterCollector

                self._registry.register(ClusterCollector(self._broker.cluster))
        return Page(200, PROMETHEUS, (generate_latest(self._registry),))
