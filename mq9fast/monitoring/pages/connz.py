"""/connz: open and closed connections, sorted and filtered as the query says, with nats-server's fields.

It reads connections and their sessions, and has a session ping its client to measure the round trip.
"""

import hashlib
import heapq
from collections.abc import Callable, Generator, Iterator
from itertools import chain, islice, zip_longest
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from mq9fast.auth.certificate import Certificate, public_key_info
from mq9fast.auth.distinguished_name import subject_text
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import (
    ACCOUNT,
    JSON,
    HttpError,
    Page,
    json_array,
    json_array_of_pieces,
    json_object,
)
from mq9fast.monitoring.privacy import Privacy
from mq9fast.monitoring.query import GoInt, ListQuery, read_query, wrong_parameter
from mq9fast.monitoring.subscriptions import ended_infos, subscription_infos
from mq9fast.monitoring.units import duration, timestamp, uptime
from mq9fast.network.connection import Connection
from mq9fast.network.connection_record import ConnectionRecord, record_of
from mq9fast.text import printable

MAX_CID = 2**64 - 1
# Sorting or skipping this many connections takes less than a millisecond.
CONNECTIONS_PER_PIECE = 512

Sort = Literal[
    "cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from",
    "last", "idle", "uptime", "rtt", "stop", "reason",
]  # fmt: skip

# The key of each order, the smallest first. "cid" and "start" have none: connections are in that order.
SORT_KEYS: dict[str, Callable[[ConnectionRecord, int], Any]] = {
    "subs": lambda it, _: -it.subscriptions,
    "pending": lambda it, _: -it.pending_bytes,
    "msgs_to": lambda it, _: -it.out_messages,
    "msgs_from": lambda it, _: -it.in_messages,
    "bytes_to": lambda it, _: -it.out_bytes,
    "bytes_from": lambda it, _: -it.in_bytes,
    "last": lambda it, _: -it.active_ms,
    "idle": lambda it, now_ms: it.active_ms - (it.stopped_ms or now_ms),
    # As on nats-server, the connection that was open for the shortest time comes first.
    "uptime": lambda it, now_ms: ((it.stopped_ms or now_ms) - it.started_ms, -it.cid),
    "rtt": lambda it, _: -it.rtt_ns,
    "stop": lambda it, _: (-it.stopped_ms, -it.cid),
    "reason": lambda it, _: it.reason,
}


class ConnzQuery(ListQuery, frozen=True):
    """The parameters of /connz."""

    sort: Sort = "cid"
    offset: GoInt = 0
    subs: bool | Literal["detail"] = False
    cid: Annotated[int, Meta(ge=0)] = 0
    auth: bool = False
    user: str = ""
    acc: str = ""
    mqtt_client: str = ""
    filter_subject: str = ""
    state: Literal["open", "closed", "any", "all"] = "open"

    any_case: ClassVar[frozenset[str]] = frozenset(("subs", "state"))

    expected: ClassVar[dict[str, str]] = {
        "sort": "cid, start, " + ", ".join(SORT_KEYS),
        "limit": "a whole number of connections",
        "offset": "a whole number of connections",
        "subs": "true, false or detail",
        "cid": "the number of a connection",
        "user": "the name of a user",
        "acc": "the name of an account",
        "mqtt_client": "the name of an MQTT client",
        "filter_subject": "a subject, wildcards allowed",
        "state": "open, closed or any",
    }


class PeerCertificate(msgspec.Struct, omit_defaults=True, gc=False):
    """A certificate that a client sent: its subject, and SHA-256 digests of its public key and of it all."""

    subject: str
    spki_sha256: str
    cert_sha256: str


class ConnInfo(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One connection, with nats-server's fields in its order. Fields that are not known are left out."""

    cid: int
    kind: str
    type: str
    ip: str
    port: int
    start: str
    last_activity: str
    stop: str = ""
    reason: str = ""
    rtt: str = ""
    uptime: str
    idle: str
    pending_bytes: int
    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    stalls: int = 0
    subscriptions: int
    name: str = ""
    lang: str = ""
    version: str = ""
    tls_version: str = ""
    tls_cipher_suite: str = ""
    tls_peer_certs: list[PeerCertificate] = []
    authorized_user: str = ""
    name_tag: str = ""


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
        open_ones: list[Connection] = []
        closed: list[ConnectionRecord] = []
        if query.acc in {"", ACCOUNT}:
            open_ones = list(self._broker.connections.values()) if query.state != "closed" else []
            closed = list(self._broker.closed_connections) if query.state != "open" else []
        if query.filter_subject:
            open_ones = yield from self._interested(open_ones, query.filter_subject)
        total = len(open_ones) + len(closed)
        limit = 1 if query.cid else query.max_entries
        offset = max(query.offset, 0)
        now_ms = self._time.now_ms
        selected: list[ConnectionRecord] = []
        if query.cid:
            closed = [it for it in closed if it.cid == query.cid]
            found = self._broker.connections.get(query.cid)
            open_ones = [found] if found is not None and open_ones else []
        if not query.mqtt_client:
            first = 0 if query.cid else offset
            selected = yield from self._select(query, open_ones, closed, first, limit)
        head = {
            "server_id": self._broker.handshake.server_id,
            "now": timestamp(self._time.wall_ms(now_ms)),
            "num_connections": len(selected),
            "total": total,
            "offset": offset,
            "limit": limit,
        }
        entries = (self._entry(record, query, now_ms) for record in selected)
        yield from json_object(head, "connections", json_array_of_pieces(entries))

    def _interested(
        self, connections: list[Connection], subject: str
    ) -> Generator[bytes, None, list[Connection]]:
        """The connections with a subscription that `subject` may reach. Private addresses are compared as
        they are shown, so that nobody finds one by trying."""
        found = []
        for connection in connections:
            shown = map(self._privacy.subject, list(connection.session.subscriptions.values()))
            if any(collide(subject, each) for each in shown):
                found.append(connection)
            yield b""
        return found

    def _select(
        self,
        query: ConnzQuery,
        open_ones: list[Connection],
        closed: list[ConnectionRecord],
        offset: int,
        limit: int,
    ) -> Generator[bytes, None, list[ConnectionRecord]]:
        """The records on the page. Clients connect and disconnect between two pieces of this work."""
        now_ms = self._time.now_ms
        key = SORT_KEYS.get(query.sort)
        if key is None and not query.user and query.state == "open":
            return [record_of(it) for it in open_ones[offset : offset + limit]]
        records = [it for it in closed if not query.user or it.user == query.user]
        for start in range(0, len(open_ones), CONNECTIONS_PER_PIECE):
            part = [record_of(it) for it in open_ones[start : start + CONNECTIONS_PER_PIECE]]
            records += [it for it in part if not query.user or it.user == query.user]
            yield b""
        sorted_parts = []
        for start in range(0, len(records), CONNECTIONS_PER_PIECE):
            part = records[start : start + CONNECTIONS_PER_PIECE]
            sorted_parts.append(sorted((0 if key is None else key(it, now_ms), it.cid, it) for it in part))
            yield b""
        return (yield from _slice(heapq.merge(*sorted_parts), offset, limit))

    def _entry(self, record: ConnectionRecord, query: ConnzQuery, now_ms: int) -> Iterator[bytes]:
        connection = None if record.stopped_ms else self._broker.connections.get(record.cid)
        session = None if connection is None else connection.session
        info = self._info(record, now_ms, query.auth)
        if query.auth and connection is not None:
            info.tls_peer_certs = [_shown(*each) for each in connection.peer_certificates]
        subscriptions = [] if session is None else list(session.subscriptions.values())
        if not query.subs or not (subscriptions or record.ended_subscriptions):
            yield msgspec.json.encode(info)
        elif query.subs == "detail":
            infos = chain(
                subscription_infos(subscriptions, self._privacy), ended_infos(record, self._privacy)
            )
            yield from json_object(info, "subscriptions_list_detail", json_array(infos))
        else:
            subjects = chain(
                map(self._privacy.subject, subscriptions),
                map(self._privacy.ended_subject, record.ended_subscriptions),
            )
            yield from json_object(info, "subscriptions_list", json_array(subjects))
        if session is not None:
            session.time_round_trip()

    def _info(self, record: ConnectionRecord, now_ms: int, auth: bool) -> ConnInfo:
        end_ms = record.stopped_ms or now_ms
        return ConnInfo(
            cid=record.cid,
            kind="Client",
            type=record.type,
            ip=record.ip,
            port=record.port,
            start=timestamp(self._time.wall_ms(record.started_ms)),
            last_activity=timestamp(self._time.wall_ms(record.active_ms)),
            stop=timestamp(self._time.wall_ms(record.stopped_ms)) if record.stopped_ms else "",
            reason=record.reason,
            rtt=duration(record.rtt_ns) if record.rtt_ns else "",
            uptime=uptime((end_ms - record.started_ms) // 1000),
            idle=uptime((end_ms - record.active_ms) // 1000),
            pending_bytes=record.pending_bytes,
            in_msgs=record.in_messages,
            out_msgs=record.out_messages,
            in_bytes=record.in_bytes,
            out_bytes=record.out_bytes,
            stalls=record.stalls,
            subscriptions=record.subscriptions,
            name=self._privacy.name(record.name),
            lang=self._privacy.name(record.lang),
            version=self._privacy.name(record.version),
            tls_version=record.tls_version,
            tls_cipher_suite=record.cipher,
            authorized_user=self._privacy.name(printable(record.user)) if auth else "",
            name_tag=ACCOUNT if auth else "",
        )


def _shown(certificate: Certificate, der: bytes) -> PeerCertificate:
    return PeerCertificate(
        subject_text(certificate.get("subject", ())),
        hashlib.sha256(public_key_info(der)).hexdigest(),
        hashlib.sha256(der).hexdigest(),
    )


def collide(one: str, other: str) -> bool:
    """Whether there is a subject that two subjects match, both of which may have wildcards."""
    for a, b in zip_longest(one.split("."), other.split(".")):
        if a is None or b is None:
            return False
        if ">" in {a, b}:
            return True
        if a != b and "*" not in {a, b}:
            return False
    return True


def _slice(
    ordered: Iterator[tuple[Any, int, ConnectionRecord]], offset: int, limit: int
) -> Generator[bytes, None, list[ConnectionRecord]]:
    """At most `limit` records after the first `offset`."""
    passed = 0
    selected: list[ConnectionRecord] = []
    while len(selected) < limit and (part := list(islice(ordered, CONNECTIONS_PER_PIECE))):
        selected += [it for _, _, it in part[max(offset - passed, 0) :]]
        passed += len(part)
        yield b""
    return selected[:limit]
