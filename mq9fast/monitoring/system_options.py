"""The options of `$SYS.REQ.` requests: JSON, with nats-server's fields, that becomes the query of a page.

`system_requests.py` reads them. As in Go, field names may be in any case, and null stands for the default.
"""

from typing import Annotated, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from mq9fast.monitoring.query import GoInt

Unsigned = Annotated[int, Meta(ge=0)]
STATES = ("open", "closed", "any")


class Options(msgspec.Struct):
    """Which servers are asked. Subclasses have the options of one request besides."""

    server_name: str = ""
    host: str = ""
    cluster: str = ""
    domain: str = ""
    tags: list[str] = []
    exact_match: bool = False

    def choose(self, account: str) -> None:
        """Ask about this account only."""

    def query(self) -> str:
        """The options as the query of a page's URL."""
        return ""

    def is_about(self, name: str, host: str) -> bool:
        """Whether a server with this name and host is asked. It has no cluster, domain or tags."""
        if self.cluster or self.domain or self.tags:
            return False
        if self.exact_match:
            return self.server_name in {"", name} and self.host in {"", host}
        return self.server_name in name and self.host in host


class ConnzOptions(Options):
    """The options of CONNZ."""

    sort: str = ""
    auth: bool = False
    subscriptions: bool = False
    subscriptions_detail: bool = False
    offset: GoInt = 0
    limit: GoInt = 0
    cid: Unsigned = 0
    mqtt_client: str = ""
    state: int = 0
    user: str = ""
    acc: str = ""
    filter_subject: str = ""

    def choose(self, account: str) -> None:
        self.acc = account

    def query(self) -> str:
        return _query(
            sort=self.sort,
            auth=self.auth,
            subs="detail" if self.subscriptions_detail else self.subscriptions,
            offset=self.offset,
            limit=self.limit,
            cid=self.cid,
            mqtt_client=self.mqtt_client,
            state=STATES[self.state] if 0 <= self.state < len(STATES) else str(self.state),
            user=self.user,
            acc=self.acc,
            filter_subject="" if self.filter_subject == ">" else self.filter_subject,
        )


class SubszOptions(Options):
    """The options of SUBSZ."""

    offset: GoInt = 0
    limit: GoInt = 0
    subscriptions: bool = False
    account: str = ""
    test: str = ""

    def choose(self, account: str) -> None:
        self.account = account
        # As on nats-server, a request about one account lists its subscriptions.
        self.subscriptions = True

    def query(self) -> str:
        return _query(
            offset=self.offset, limit=self.limit, subs=self.subscriptions, acc=self.account, test=self.test
        )


class AccstatzOptions(Options):
    """The options of STATZ."""

    accounts: list[str] = []
    include_unused: bool = False

    def choose(self, account: str) -> None:
        self.accounts = [account]

    def query(self) -> str:
        return _query(acc=",".join(self.accounts), unused=self.include_unused)


class AccountzOptions(Options):
    """The options of ACCOUNTZ."""

    account: str = ""

    def choose(self, account: str) -> None:
        self.account = account

    def query(self) -> str:
        return _query(acc=self.account)


class HealthzOptions(Options):
    """The options of HEALTHZ. Those about JetStream are checked for their type only."""

    js_enabled: bool = msgspec.field(default=False, name="js-enabled")
    js_enabled_only: bool = msgspec.field(default=False, name="js-enabled-only")
    js_server_only: bool = msgspec.field(default=False, name="js-server-only")
    js_meta_only: bool = msgspec.field(default=False, name="js-meta-only")
    account: str = ""
    stream: str = ""
    consumer: str = ""
    details: bool = False

    def query(self) -> str:
        return _query(account=self.account, stream=self.stream, consumer=self.consumer, details=self.details)


class JszOptions(Options):
    """The options of JSZ. Only `leader_only` matters: this broker never leads a cluster of JetStream."""

    account: str = ""
    accounts: bool = False
    streams: bool = False
    consumer: bool = False
    direct_consumer: bool = False
    config: bool = False
    leader_only: bool = False
    offset: GoInt = 0
    limit: GoInt = 0
    raft: bool = False
    stream_leader_only: bool = False


class ClientOptions(Options):
    """The connection that KICK and LDM are about."""

    cid: Unsigned = 0


def _query(**values: str | int) -> str:
    """The query of a URL. Values that are empty, 0 or false are left out."""
    texts = {name: "true" if value is True else str(value) for name, value in values.items() if value}
    return urlencode(texts)


Kind = TypeVar("Kind", bound=Options)


def read_options(payload: bytes, kind: type[Kind]) -> Kind:
    """Read the payload of a request. Raises ValueError."""
    decoded = msgspec.json.decode(payload) if payload else None
    if decoded is None:
        return kind()
    if isinstance(decoded, dict):
        decoded = {name.lower(): value for name, value in decoded.items() if value is not None}
    return msgspec.convert(decoded, kind)
