"""/connz: the connections, a page at a time, in nats-server's words."""

import heapq
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from mq9fast.monitoring.page import (
    ACCOUNT,
    JSON,
    Page,
    Query,
    RefusedMessages,
    Whole,
    in_order,
    json_list,
    json_with,
    read_query,
)
from mq9fast.monitoring.privacy import Privacy
from mq9fast.monitoring.subscriptions import details
from mq9fast.monitoring.units import duration, timestamp, uptime
from mq9fast.network.connection import Connection
from mq9fast.text import printable

if TYPE_CHECKING:
    from mq9fast.server.broker import Broker

DEFAULT_LIMIT = 1024
MAX_CID = 2**64 - 1
# What nats-server shows in place of a token.
REDACTED = "[REDACTED]"
# Connections that are sorted, or passed over, between two looks at the clock.
RUN = 512

Sort = Literal[
    "cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from",
    "last", "idle", "uptime", "rtt", "stop", "reason",
]  # fmt: skip

# What each order looks at. The largest comes first, but of "cid" and "start", which are one order. By uptime
# that is who came last, as on nats-server.
KEYS: dict[str, Callable[[Connection], int]] = {
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
    """What may be asked for. There are no closed connections to show, but they may be asked for."""

    sort: Sort = "cid"
    limit: Whole = DEFAULT_LIMIT
    offset: Whole = 0
    subs: bool | Literal["detail"] = False
    cid: Annotated[int, Meta(ge=0)] = 0
    auth: bool = False
    user: str = ""
    acc: str = ""
    mqtt_client: str = ""
    state: Literal["open", "closed", "any", "all"] = "open"

    takes: ClassVar[dict[str, str]] = {
        "sort": "cid, start, " + ", ".join(KEYS),
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
    """One connection, in the order of nats-server's fields. What is not known is left out."""

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

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._time = broker.engine.time
        self._privacy = Privacy(broker.mailboxes.mailbox_index)

    def page(self, query: str) -> Page:
        """Raises Refused (400)."""
        asked = read_query(query, ConnzQuery)
        if asked.sort in {"stop", "reason"} and asked.state != "closed":
            raise RefusedMessages(400, f"The parameter sort can be {asked.sort} with state=closed only.")
        if asked.cid > MAX_CID:
            raise RefusedMessages(400, f"The parameter cid must be {asked.takes['cid']}.")
        return Page(200, JSON, self._pieces(asked))

    def _pieces(self, asked: ConnzQuery) -> Iterator[bytes]:
        there = asked.state != "closed" and asked.acc in {"", ACCOUNT}
        total = len(self._broker.connections) if there else 0
        limit = 1 if asked.cid else asked.limit if asked.limit > 0 else DEFAULT_LIMIT
        offset = max(asked.offset, 0)
        shown: list[Connection] = []
        if there and not asked.mqtt_client:
            shown = yield from self._choose(asked, offset, limit)
        now_ms = self._time.now_ms
        head = {
            "server_id": self._broker.handshake.server_id,
            "now": timestamp(self._time.wall_ms(now_ms)),
            "num_connections": len(shown),
            "total": total,
            "offset": offset,
            "limit": limit,
        }
        entries = (self._entry(connection, asked, now_ms) for connection in shown)
        yield from json_with(head, "connections", in_order(entries))

    def _choose(self, asked: ConnzQuery, offset: int, limit: int) -> Generator[bytes, None, list[Connection]]:
        """The connections to show, found piece by piece while others come and go."""
        if asked.cid:
            found = self._broker.connections.get(asked.cid)
            return [] if found is None or (asked.user and _user(found) != asked.user) else [found]
        connections = list(self._broker.connections.values())
        if asked.user:
            connections = yield from _of_user(connections, asked.user)
        if asked.sort not in KEYS:
            return connections[offset : offset + limit]
        key = KEYS[asked.sort]
        runs = []
        for start in range(0, len(connections), RUN):
            # Each is looked at once: its figures move on while the others are looked at.
            run = [(-key(it), it.session.cid, it) for it in connections[start : start + RUN]]
            runs.append(sorted(run))
            yield b""
        return (yield from _first(heapq.merge(*runs), offset, limit))

    def _entry(self, connection: Connection, asked: ConnzQuery, now_ms: int) -> Iterator[bytes]:
        subscriptions = list(connection.session.subscriptions.values()) if asked.subs else []
        info = self._info(connection, now_ms, asked.auth)
        if not subscriptions:
            yield msgspec.json.encode(info)
        elif asked.subs == "detail":
            listed = json_list(details(subscriptions, self._privacy))
            yield from json_with(info, "subscriptions_list_detail", listed)
        else:
            listed = json_list(map(self._privacy.subject, subscriptions))
            yield from json_with(info, "subscriptions_list", listed)
        connection.session.time_round_trip()

    def _info(self, connection: Connection, now_ms: int, auth: bool) -> ConnInfo:
        session = connection.session
        user = _user(connection) if auth else ""
        cipher, tls_version, _ = connection.cipher or ("", "", 0)
        return ConnInfo(
            cid=session.cid,
            kind="Client",
            type=connection.type,
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
    """What signed in, in nats-server's words: a user's name, an NKEY, or what stands for a token."""
    session = connection.session
    if not session.authorized:
        return ""
    return REDACTED if session.identity.kind == "token" else str(session.identity.name)


def _of_user(connections: list[Connection], user: str) -> Generator[bytes, None, list[Connection]]:
    """The connections of one user."""
    found: list[Connection] = []
    for start in range(0, len(connections), RUN):
        found += [it for it in connections[start : start + RUN] if _user(it) == user]
        yield b""
    return found


def _first(
    ordered: Iterator[tuple[int, int, Connection]], offset: int, limit: int
) -> Generator[bytes, None, list[Connection]]:
    """The `limit` connections from the `offset` on."""
    passed = 0
    shown: list[Connection] = []
    while len(shown) < limit and (some := list(islice(ordered, RUN))):
        shown += [it for _, _, it in some[max(offset - passed, 0) :]]
        passed += len(some)
        yield b""
    return shown[:limit]
