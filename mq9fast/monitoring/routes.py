"""The monitoring port: creates the pages, and serves each at its path.

`server/broker.py` creates and starts the `Monitor`, which reads the broker, through `BrokerView`, and the
store. Nothing in the broker waits for it.
"""

from prometheus_client import CollectorRegistry, generate_latest

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.http import HttpServer
from mq9fast.monitoring.page import Page, Route, json_page
from mq9fast.monitoring.pages.absent import absent_pages
from mq9fast.monitoring.pages.accstatz import Accstatz
from mq9fast.monitoring.pages.connz import Connz
from mq9fast.monitoring.pages.mailboxz import Mailboxz
from mq9fast.monitoring.pages.metrics import BrokerCollector
from mq9fast.monitoring.pages.subsz import Subsz
from mq9fast.monitoring.pages.varz import Varz
from mq9fast.monitoring.privacy import Privacy
from mq9fast.storage.store import Store

HTML = "text/html; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Monitor:
    """The monitoring port of one broker. `start` raises StartError if it cannot listen."""

    def __init__(self, broker: BrokerView, store: Store) -> None:
        self._health = broker.health
        self._registry = CollectorRegistry()
        self._registry.register(BrokerCollector(broker))
        # Filled below: `Varz` needs the counters of the server, and the server needs the routes.
        routes: dict[str, Route] = {}
        self._http = HttpServer(routes)
        privacy = Privacy(broker.mailboxes.mailbox_index)
        subsz = Subsz(broker, privacy)
        self._varz = Varz(broker, self._http.requests)
        routes |= {
            "/": self._index,
            "/healthz": self._healthz,
            "/varz": self._varz.page,
            "/connz": Connz(broker, privacy).page,
            "/subsz": subsz.page,
            "/subscriptionsz": subsz.page,
            "/mailboxz": Mailboxz(broker, store, privacy).page,
            "/metrics": self._metrics,
        }
        self._linked = [path for path in routes if path != "/"]
        routes |= {"/accstatz": Accstatz(broker).page, **absent_pages(broker)}

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0 for a free one)."""
        await self._http.start(host, port)
        self._varz.http_port = self.port

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._http.port

    def close(self) -> None:
        """Stop listening, and close all connections at once."""
        self._http.close()

    def _index(self, _query: str) -> Page:
        links = "".join(f'<li><a href=".{path}">{path}</a>' for path in self._linked)
        return Page(200, HTML, (f"<!doctype html><title>mq9fast</title><ul>{links}</ul>\n".encode(),))

    def _healthz(self, _query: str) -> Page:
        if self._health.ok:
            return json_page({"status": "ok"})
        body = {"status": "unavailable", "error": "; ".join(self._health.reasons)}
        return json_page(body, status=503)

    def _metrics(self, _query: str) -> Page:
        return Page(200, PROMETHEUS, (generate_latest(self._registry),))
