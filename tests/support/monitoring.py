"""Pages of the monitoring port, requested over HTTP."""

import http.client
import json
from typing import Any

from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS


def monitor_port(broker: Broker) -> int:
    return int(broker.monitor_url.rpartition(":")[2])


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.getheader("content-type", ""), body


def read(port: int, path: str) -> dict[str, Any]:
    """A JSON page; the status must be 200."""
    status, content_type, body = get(port, path)
    assert (status, content_type) == (200, "application/json"), body
    page = json.loads(body)
    assert isinstance(page, dict)
    return page


def refusal(port: int, path: str) -> str:
    """The text of an error page; the status must be 400."""
    status, content_type, body = get(port, path)
    assert (status, content_type) == (400, "text/plain; charset=utf-8"), body
    return body.decode()


def metrics(port: int) -> dict[str, float]:
    text = get(port, "/metrics")[2].decode()
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}
