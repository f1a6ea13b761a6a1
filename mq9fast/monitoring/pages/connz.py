"""/connz: the open connections, sorted and filtered as the query says, with nats-server's fields.

It reads connections and their sessions, and has a session ping its client to measure the round trip.
"""

import heapq
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import (
    ACCOUNT,
    JSON,
    GoInt,
    HttpError,
    Page,
    Query,
    json_array,
    json_array_of_pieces,
    json_object,
    read_query,
    wrong_parameter,
)
from mq9fast.monitoring.privacy import Privacy
from mq9fast.monitoring.subscriptions import subscription_infos
from mq9fast.monitoring.units import duration, timestamp, uptime
from mq9fast.network.connection import Connection
from mq9fast.text import printable

MAX_CID = 2**64 - 1
# nats-server shows this in place of a token.
REDACTED = "[REDACTED]"
# Sorting or skipping this many connections takes less than a millisecond.
CONNECTIONS_PER_PIECE = 512

Sort = Literal[
    "cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from",
    "last", "idle", "uptime", "rtt", "stop", "reason",
]  # fmt: skip

# The key of each order, the largest first. "cid" and "start" have none: the dict of connections is in that
# order. As on nats-server, "uptime" puts the newest connection first.
SORT_KEYS: dict[str, Callable[[Connection], int]] = {
    "subs": lambda it: len(it.session.subscriptions),
    "pending": lambda it: it.pending_bytes,
    "msgs_to": lambda it: it.session.out_messages,
    "msgs_from": lambda it: it.session.in_messages,
    "bytes_to": lambda it: it.session.out_bytes,
    "bytes_from": lambda it: it.session.in_bytes,
    "last": lambda it: it.session.active_ms,
    "idle": lambda it: -it.session.active_ms,
    "uptime": lambda it: it.session.cid,
    "rtt": lambda it: it.session.rtt_ns,
}


class ConnzQuery(Query, frozen=True):
    """The parameters of /connz. The broker keeps no closed connections: state=closed shows an empty page."""

    sort: Sort = "cid"
    offset: GoInt = 0
    subs: bool | Literal["detail"] = False
    cid: Annotated[int, Meta(ge=0)] = 0
    auth: bool = False
    user: str = ""
    acc: str = ""
    mqtt_client: str = ""
    state: Literal["open", "closed", "any", "all"] = "open"

    expected: ClassVar[dict[str, str]] = {
        "sort": "cid, start, " + ", ".join(SORT_KEYS),
        "limit": "a whole number of connections",
        "offset": "a whole number of connections",
        "subs": "true, false or detail",
        "cid": "the number of a connection",
        "auth": "true or false",
        "user": "the name of a user",
        "acc": "the name of an account",
        "mqtt_client": "the name of an MQTT client",
        "state": "open, closed or any",
    }


class ConnInfo(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One connection, with nats-server's fields in its order. Fields that are not known are left out."""

    cid: int
    kind: str
    type: str
    ip: str
    port: int
    start: str
    last_activity: str
    rtt: str = ""
    uptime: str
    idle: str
    pending_bytes: int
    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    subscriptions: int
    name: str = ""
    lang: str = ""
    version: str = ""
    tls_version: str = ""
    tls_cipher_suite: str = ""
    authorized_user: str = ""


class Connz:
    """The page of one broker."""

    def __init__(self, broker: BrokerView, privacy: Privacy) -> None:
        self._broker = broker
        self._time = broker.engine.time
        self._privacy = privacy

    def page(self, query_string: str) -> Page:
        """Raises HttpError (400)."""
        query = read_query(query_string, ConnzQuery)
        if query.sort in {"stop", "reason"} and query.state != "closed":
            raise HttpError(400, f"The parameter sort can be {query.sort} only together with state=closed.")
        if query.cid > MAX_CID:
            raise wrong_parameter(ConnzQuery, "cid")
        return Page(200, JSON, self._pieces(query))

    def _pieces(self, query: ConnzQuery) -> Iterator[bytes]:
        has_any = query.state != "closed" and query.acc in {"", ACCOUNT}
        total = len(self._broker.connections) if has_any else 0
        limit = 1 if query.cid else query.max_entries
        offset = max(query.offset, 0)
        selected: list[Connection] = []
        if has_any and not query.mqtt_client:
            selected = yield from self._select(query, offset, limit)
        now_ms = self._time.now_ms
        head = {
            "server_id": self._broker.handshake.server_id,
            "now": timestamp(self._time.wall_ms(now_ms)),
            "num_connections": len(selected),
            "total": total,
            "offset": offset,
            "limit": limit,
        }
        entries = (self._entry(connection, query, now_ms) for connection in selected)
        yield from json_object(head, "connections", json_array_of_pieces(entries))

    def _select(self, query: ConnzQuery, offset: int, limit: int) -> Generator[bytes, None, list[Connection]]:
        """The connections on the page. Clients connect and disconnect between two pieces of this work."""
        if query.cid:
            found = self._broker.connections.get(query.cid)
            return [] if found is None or (query.user and _user(found) != query.user) else [found]
        connections = list(self._broker.connections.values())
        if query.user:
            connections = yield from _of_user(connections, query.user)
        if query.sort not in SORT_KEYS:
            return connections[offset : offset + limit]
        key = SORT_KEYS[query.sort]
        sorted_parts = []
        for start in range(0, len(connections), CONNECTIONS_PER_PIECE):
            # Each key is read once: the counters change while other connections are sorted.
            part = connections[start : start + CONNECTIONS_PER_PIECE]
            sorted_parts.append(sorted((-key(it), it.session.cid, it) for it in part))
            yield b""
        return (yield from _slice(heapq.merge(*sorted_parts), offset, limit))

    def _entry(self, connection: Connection, query: ConnzQuery, now_ms: int) -> Iterator[bytes]:
        subscriptions = list(connection.session.subscriptions.values()) if query.subs else []
        info = self._info(connection, now_ms, query.auth)
        if not subscriptions:
            yield msgspec.json.encode(info)
        elif query.subs == "detail":
            infos = subscription_infos(subscriptions, self._privacy)
            yield from json_object(info, "subscriptions_list_detail", json_array(infos))
        else:
            subjects = map(self._privacy.subject, subscriptions)
            yield from json_object(info, "subscriptions_list", json_array(subjects))
        connection.session.time_round_trip()

    def _info(self, connection: Connection, now_ms: int, auth: bool) -> ConnInfo:
        session = connection.session
        user = _user(connection) if auth else ""
        cipher, tls_version, _ = connection.cipher or ("", "", 0)
        return ConnInfo(
            cid=session.cid,
            kind="Client",
            type=connection.client_type,
            ip=connection.peer[0],
            port=connection.peer[1],
            start=timestamp(self._time.wall_ms(session.started_ms)),
            last_activity=timestamp(self._time.wall_ms(session.active_ms)),
            rtt=duration(session.rtt_ns) if session.rtt_ns else "",
            uptime=uptime((now_ms - session.started_ms) // 1000),
            idle=uptime((now_ms - session.active_ms) // 1000),
            pending_bytes=connection.pending_bytes,
            in_msgs=session.in_messages,
            out_msgs=session.out_messages,
            in_bytes=session.in_bytes,
            out_bytes=session.out_bytes,
            subscriptions=len(session.subscriptions),
            name=self._privacy.name(session.name or ""),
            lang=self._privacy.name(session.lang or ""),
            version=self._privacy.name(session.version or ""),
            tls_version=tls_version.removeprefix("TLSv"),
            tls_cipher_suite=cipher,
            authorized_user=self._privacy.name(printable(user)),
        )


def _user(connection: Connection) -> str:
    """How the client signed in: the user's name, the NKEY, or REDACTED for a token; "" before it did."""
    session = connection.session
    if not session.authorized:
        return ""
    return REDACTED if session.identity.kind == "token" else str(session.identity.name)


def _of_user(connections: list[Connection], user: str) -> Generator[bytes, None, list[Connection]]:
    """The connections of one user."""
    found: list[Connection] = []
    for start in range(0, len(connections), CONNECTIONS_PER_PIECE):
        found += [it for it in connections[start : start + CONNECTIONS_PER_PIECE] if _user(it) == user]
        yield b""
    return found


def _slice(
    ordered: Iterator[tuple[int, int, Connection]], offset: int, limit: int
) -> Generator[bytes, None, list[Connection]]:
    """At most `limit` connections after the first `offset`."""
    passed = 0
    selected: list[Connection] = []
    while len(selected) < limit and (part := list(islice(ordered, CONNECTIONS_PER_PIECE))):
        selected += [it for _, _, it in part[max(offset - passed, 0) :]]
        passed += len(part)
        yield b""
    return selected[:limit]
