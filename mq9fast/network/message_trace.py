"""The report of a message trace, as JSON with the fields of nats-server's MsgTraceEvent.

The core routes a message that has the header Nats-Trace-Dest, records what happened to it in a `Trace`, and
calls `TraceReports` for the message that it publishes to the destination.
"""

from datetime import datetime, timezone
from typing import Any

import msgspec

from mq9fast._core.pubsub.client import Client
from mq9fast._core.pubsub.message_trace import Trace

ACCOUNT = "$G"
CLIENT = 0
# A report repeats at most this many headers of the message.
MAX_HEADERS = 1000
GZIP_HEADER = b"NATS/1.0\r\nContent-Encoding: gzip\r\n\r\n"
# The event loop waits for the report: time matters more than size.
COMPRESSION_LEVEL = 1


class TraceReports:
    """Makes the report of a trace. `server` is the part of it that describes the broker."""

    def __init__(self, server: dict[str, Any]) -> None:
        self._server = {**server, "jetstream": False, "flags": 0}
        self._count = 0

    def __call__(self, trace: Trace) -> tuple[bytes, bytes]:
        """The header block, which may be empty, and the body of the report."""
        self._count += 1
        now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        ingress: dict[str, Any] = {
            "type": "in",
            "ts": now,
            **_client(trace.sender),
            "acc": ACCOUNT,
            "subj": _text(trace.subject),
        }
        if trace.error is not None:
            ingress["error"] = trace.error
        headers = headers_of(trace.header)
        body = msgspec.json.encode(
            {
                "server": {**self._server, "seq": self._count, "time": now},
                "request": {"header": headers, "msgsize": trace.size},
                "events": [ingress, *_egresses(trace, now)],
            }
        )
        if "gzip" in headers.get("Accept-Encoding", [""])[0].lower():
            # Imported late, to start faster: few clients ask for it.
            import gzip

            return GZIP_HEADER, gzip.compress(body, COMPRESSION_LEVEL)
        return b"", body


def headers_of(block: bytes) -> dict[str, list[str]]:
    """The headers of a header block, by name, in order. As on nats-server, empty ones are left out."""
    found: dict[str, list[str]] = {}
    at = block.find(b"\r\n") + 2
    for _ in range(MAX_HEADERS):
        colon = block.find(b":", at)
        end = block.find(b"\r\n", colon)
        if colon < 0 or end < 0:
            break
        if value := _text(block[colon + 1 : end]).strip():
            found.setdefault(_text(block[at:colon]), []).append(value)
        at = end + 2
    return dict(sorted(found.items()))


def _egresses(trace: Trace, now: str) -> list[dict[str, Any]]:
    """An event for each subscription that the message was routed to."""
    events = []
    for subscription, error in trace.receivers:
        event: dict[str, Any] = {"type": "eg", "ts": now, **_client(subscription.client)}
        event["sub"] = _text(subscription.subject)
        if subscription.queue is not None:
            event["queue"] = _text(subscription.queue)
        if error is not None:
            event["error"] = error
        events.append(event)
    return events


def _client(client: Client) -> dict[str, Any]:
    named = {"name": client.name} if client.name else {}
    return {"kind": CLIENT, "cid": client.cid, **named}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
