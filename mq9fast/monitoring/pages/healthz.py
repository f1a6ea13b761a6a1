"""/healthz: whether the broker works, in nats-server's fields.

`routes.Pages` creates it. Options that check parts of JetStream have nothing to check here.
"""

from typing import ClassVar

import msgspec

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import Page, json_page
from mq9fast.monitoring.query import Query, read_query

# nats-server's type for faults of what it stores.
STORED = "JETSTREAM"


class HealthzQuery(Query, frozen=True):
    """The parameters of /healthz. `details`: show errors as a list."""

    details: bool = False
    account: str = ""
    stream: str = ""
    consumer: str = ""
    js_enabled: bool = msgspec.field(default=False, name="js-enabled")
    js_enabled_only: bool = msgspec.field(default=False, name="js-enabled-only")
    js_server_only: bool = msgspec.field(default=False, name="js-server-only")
    js_meta_only: bool = msgspec.field(default=False, name="js-meta-only")

    expected: ClassVar[dict[str, str]] = dict.fromkeys(("account", "stream", "consumer"), "a name")

    @property
    def mistake(self) -> str:
        """What is missing, in nats-server's words, or ""."""
        if self.stream and not self.account:
            return '"account" must not be empty when checking stream health'
        if self.consumer and not self.stream:
            return '"stream" must not be empty when checking consumer health'
        return ""


class Healthz:
    """The page of one broker."""

    def __init__(self, broker: BrokerView) -> None:
        self._broker = broker

    def page(self, query_string: str) -> Page:
        """Status 503 if something is wrong. Raises HttpError (400)."""
        query = read_query(query_string, HealthzQuery)
        if query.mistake:
            return _page(400, "error", "BAD_REQUEST", [query.mistake], query.details)
        health = self._broker.health
        if health.ok:
            return json_page({"status": "ok"})
        return _page(503, "unavailable", STORED, health.reasons, query.details)


def _page(status: int, word: str, kind: str, reasons: list[str], details: bool) -> Page:
    if details:
        errors = [{"type": kind, "error": reason} for reason in reasons]
        return json_page({"status": "error", "errors": errors}, status=status)
    return json_page({"status": word, "error": "; ".join(reasons)}, status=status)
