"""All settings of a broker, with their types, limits, defaults and help texts.

The fields of the `Settings` struct are the only definition. `SETTINGS`, a table of the fields, is derived
from them; `config/sources.py` makes flags, variables and the keys of the TOML file from it. A reload replaces
the broker's `Settings` by another one. This module does no input or output.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mq9fast.config.rules import check_rules
from mq9fast.config.setting import table_of
from mq9fast.config.users import PermissionLists, User

_YEAR = 365 * 86400
_HUGE = 2**63 - 1

Text = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f\ud800-\udfff]+\Z")]
# A path may contain bytes that the locale cannot decode: Python represents them as surrogates.
PathText = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f\ud800-\udc7f\udd00-\udfff]+\Z")]
Count = Annotated[int, Meta(ge=1, le=_HUGE)]
Limit = Annotated[int, Meta(ge=0, le=_HUGE)]
LimitBytes = Annotated[Limit, Meta(extra={"unit": "bytes"})]
Seconds = Annotated[float, Meta(gt=0, le=_YEAR, extra={"unit": "seconds"})]
SecondsOrZero = Annotated[float, Meta(ge=0, le=_YEAR, extra={"unit": "seconds"})]
Microseconds = Annotated[int, Meta(ge=0, le=10_000, extra={"unit": "microseconds"})]
Secret = Annotated[Text | None, Meta(extra={"secret": True})]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one broker. The annotation of each field has its help text and unit.

    `sources.load_settings` checks every value. The constructor checks only rules between settings, users and
    permissions; it raises SettingsError. `given`: the names of the settings that a source has set.
    """

    host: Annotated[Text, Meta(description="address to listen on for NATS clients")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port for NATS clients, 0 picks a free port")] = (
        4222
    )
    proxy_protocol: Annotated[
        bool,
        Meta(description="expect a PROXY header, version 1 or 2, at the start of each connection"),
    ] = False
    data_dir: Annotated[PathText, Meta(description="directory of the store, created if it is missing")] = (
        "./mq9-data"
    )
    sync: Annotated[
        Literal["always", "interval", "never"],
        Meta(description="when to fsync: before each acknowledgement, every --sync-interval, or never"),
    ] = "always"
    sync_interval: Annotated[Seconds, Meta(description="time between fsyncs under --sync interval")] = 1.0
    accept_loss: Annotated[
        bool, Meta(description="start even if acknowledged messages are lost; meant for one start")
    ] = False
    monitor_host: Annotated[Text, Meta(description="address of the HTTP monitoring port")] = "127.0.0.1"
    monitor_port: Annotated[
        int,
        Meta(ge=-1, le=65535, description="HTTP monitoring port, 0 picks a free port, -1 turns it off"),
    ] = 8222
    monitor_tls: Annotated[
        bool, Meta(description="with --tls-cert, HTTPS on the monitoring port instead of HTTP")
    ] = False
    monitor_base_path: Annotated[
        Text | None, Meta(description="path before the paths of all monitoring pages, such as /broker1")
    ] = None
    ws_host: Annotated[Text, Meta(description="address of the WebSocket port")] = "127.0.0.1"
    ws_port: Annotated[
        int,
        Meta(ge=-1, le=65535, description="port for WebSocket clients, 0 picks a free port, -1 turns it off"),
    ] = -1
    ws_tls: Annotated[bool, Meta(description="with --tls-cert, use TLS on the WebSocket port too")] = True
    ws_tls_cert: Annotated[
        PathText | None, Meta(description="certificate of the WebSocket port, if it has its own TLS, PEM")
    ] = None
    ws_tls_key: Annotated[PathText | None, Meta(description="PEM file with the key of --ws-tls-cert")] = None
    ws_tls_ca: Annotated[
        PathText | None,
        Meta(description="PEM file with the authorities that sign certificates of WebSocket clients"),
    ] = None
    ws_tls_verify: Annotated[
        bool, Meta(description="require a certificate signed by --ws-tls-ca of WebSocket clients")
    ] = False
    ws_tls_verify_and_map: Annotated[
        bool, Meta(description="like --ws-tls-verify, and the certificate says which user the client is")
    ] = False
    ws_origins: Annotated[
        Text | None,
        Meta(description="origins of web pages that may connect, such as https://a.org,https://b.org:8443"),
    ] = None
    ws_same_origin: Annotated[
        bool, Meta(description="only web pages of the WebSocket port's own origin may connect")
    ] = False
    ws_compression: Annotated[
        bool, Meta(description="compress messages of WebSocket clients that offer it")
    ] = False
    ws_username_cookie: Annotated[
        Text | None, Meta(description="name of the cookie with the user name of a WebSocket client")
    ] = None
    ws_password_cookie: Annotated[
        Text | None, Meta(description="name of the cookie with the password of a WebSocket client")
    ] = None
    ws_token_cookie: Annotated[
        Text | None, Meta(description="name of the cookie with the token of a WebSocket client")
    ] = None
    ws_forwarded_for: Annotated[
        bool, Meta(description="take the address of a WebSocket client from the X-Forwarded-For header")
    ] = False
    console: Annotated[
        bool, Meta(description="serve the console, a web page for people, on the WebSocket port")
    ] = True
    max_payload: Annotated[
        int,
        Meta(
            ge=1,
            le=64 * 2**20,
            description="maximum size of a message with its headers",
            extra={"unit": "bytes"},
        ),
    ] = 2**20
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="minimum log level")
    ] = "info"
    log_file: Annotated[
        PathText | None, Meta(description="file for the log instead of standard error, reopened on SIGUSR1")
    ] = None
    log_format: Annotated[
        Literal["text", "json"], Meta(description="lines of text, or a JSON object per line")
    ] = "text"
    pid_file: Annotated[PathText | None, Meta(description="file for the process id while it serves")] = None
    ports_file_dir: Annotated[
        PathText | None, Meta(description="directory for a file with the ports while it serves")
    ] = None
    user: Annotated[
        Text | None, Meta(description="user name that every client must give, with --password")
    ] = None
    password: Annotated[Secret, Meta(description="password every client must give, with --user")] = None
    token: Annotated[Secret, Meta(description="token every client must give, instead of --user")] = None
    tls_cert: Annotated[PathText | None, Meta(description="PEM file with the certificate, turns TLS on")] = (
        None
    )
    tls_key: Annotated[PathText | None, Meta(description="PEM file with the certificate's key")] = None
    tls_ca: Annotated[
        PathText | None, Meta(description="PEM file with the authorities that sign client certificates")
    ] = None
    tls_verify: Annotated[bool, Meta(description="require a client certificate signed by --tls-ca")] = False
    tls_verify_and_map: Annotated[
        bool, Meta(description="as --tls-verify, and the certificate names the user that signs in")
    ] = False
    tls_min_version: Annotated[
        Literal["1.2", "1.3"], Meta(description="oldest version of TLS that is accepted")
    ] = "1.2"
    tls_ciphers: Annotated[
        Text | None, Meta(description="cipher suites for TLS 1.2, in OpenSSL's notation")
    ] = None
    tls_pinned_certs: Annotated[
        Text | None,
        Meta(description="SHA-256 digests of the keys of the only client certificates accepted, as a,b,c"),
    ] = None
    tls_handshake_rate: Annotated[
        Limit, Meta(description="TLS handshakes that begin in a second at most, 0 is no limit")
    ] = 0
    allow_non_tls: Annotated[
        bool, Meta(description="with --tls-cert, accept clients without TLS on the port for NATS clients too")
    ] = False
    tls_handshake_first: Annotated[
        Literal["off", "on", "auto"],
        Meta(description="TLS before INFO: off, on, or auto for clients that start TLS at once"),
    ] = "off"
    server_name: Annotated[Text | None, Meta(description="server name in INFO, generated if not set")] = None
    advertise: Annotated[
        Text | None, Meta(description="other addresses of the broker for clients, as host:port,host:port")
    ] = None
    auto_create: Annotated[
        bool, Meta(description="create a mailbox when the first message to it arrives")
    ] = False
    max_control_line: Annotated[
        int,
        Meta(ge=64, le=2**20, description="maximum length of a protocol line", extra={"unit": "bytes"}),
    ] = 4096
    max_connections: Annotated[Count, Meta(description="maximum number of connections")] = 65536
    max_subscriptions: Annotated[
        Limit, Meta(description="maximum number of subscriptions of one connection, 0 is no limit")
    ] = 0
    max_subscription_tokens: Annotated[
        int,
        Meta(ge=0, le=255, description="maximum number of tokens in a subscription's subject, 0 is no limit"),
    ] = 0
    max_pending: Annotated[
        Count,
        Meta(
            description="maximum unsent data of a client that reads plain subjects",
            extra={"unit": "bytes"},
        ),
    ] = 64 * 2**20
    write_deadline: Annotated[
        Seconds,
        Meta(description="time after which a client that reads plain subjects but takes no data is closed"),
    ] = 10.0
    max_mailboxes: Annotated[Limit, Meta(description="maximum number of mailboxes, 0 is no limit")] = 0
    max_mailbox_messages: Annotated[
        Limit, Meta(description="maximum number of messages in one mailbox, 0 is no limit")
    ] = 0
    max_mailbox_bytes: Annotated[
        LimitBytes, Meta(description="maximum size of one mailbox, 0 is no limit")
    ] = 0
    max_store_bytes: Annotated[
        LimitBytes, Meta(description="maximum size of all mailboxes, 0 is no limit")
    ] = 0
    min_free: Annotated[
        LimitBytes, Meta(description="free disk space below which messages are refused, 0 is no limit")
    ] = 128 * 2**20
    ping_interval: Annotated[Seconds, Meta(description="time between pings to an idle client")] = 120.0
    ping_max: Annotated[Count, Meta(description="unanswered pings after which a connection is closed")] = 2
    auth_timeout: Annotated[Seconds, Meta(description="time within which a client must authenticate")] = 2.0
    busy_poll: Annotated[
        Microseconds, Meta(description="time to poll for the next read before going to sleep, 0 turns it off")
    ] = 100
    lame_duck_duration: Annotated[
        SecondsOrZero, Meta(description="time over which a lame duck closes its clients")
    ] = 30.0
    cluster_log: Annotated[
        Text | None,
        Meta(
            description="servers of the replicated log, as nats://a,b,c; makes the broker a node of a cluster"
        ),
    ] = None
    node_name: Annotated[Text | None, Meta(description="name of this node, unlike those of the others")] = (
        None
    )
    cluster_name: Annotated[
        Text, Meta(description="name of the cluster, with which its streams and subjects begin")
    ] = "MQ9"
    cluster_log_user: Annotated[Text | None, Meta(description="user name for the servers of the log")] = None
    cluster_log_password: Annotated[Secret, Meta(description="password for the servers of the log")] = None
    cluster_log_creds: Annotated[
        PathText | None, Meta(description="file with the credentials for the servers of the log")
    ] = None
    cluster_log_tls_ca: Annotated[
        PathText | None, Meta(description="PEM file with the authorities that sign the log's servers")
    ] = None
    cluster_log_tls_cert: Annotated[
        PathText | None, Meta(description="certificate that is shown to the log's servers, PEM")
    ] = None
    cluster_log_tls_key: Annotated[
        PathText | None, Meta(description="PEM file with the key of --cluster-log-tls-cert")
    ] = None
    cluster_log_monitor: Annotated[
        Text | None,
        Meta(
            description="monitoring ports of the log's servers, as http://a:8222,http://b:8222,http://c:8222"
        ),
    ] = None
    cluster_host: Annotated[Text, Meta(description="address to listen on for nodes that copy the store")] = (
        "127.0.0.1"
    )
    cluster_port: Annotated[
        int, Meta(ge=0, le=65535, description="port for nodes that copy the store, 0 picks a free port")
    ] = 0
    cluster_advertise: Annotated[
        Text | None, Meta(description="address of that port for the other nodes, as host:port")
    ] = None
    cluster_secret: Annotated[
        Secret, Meta(description="secret of all nodes, without which none copies the store of another")
    ] = None
    cluster_copies: Annotated[
        int,
        Meta(ge=2, le=9, description="stores that must have a part of the log before it is deleted"),
    ] = 2
    # These can only be set in the TOML file.
    users: tuple[User, ...] = ()
    default_permissions: PermissionLists | None = None
    no_auth_user: str | None = None
    given: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_rules(self)

    @property
    def advertised(self) -> tuple[str, ...]:
        """The addresses in `advertise`, as host:port."""
        return tuple(map(str.strip, self.advertise.split(","))) if self.advertise else ()

    @property
    def pinned_certs(self) -> frozenset[str]:
        """The digests in `tls_pinned_certs`, in lower case."""
        listed = (self.tls_pinned_certs or "").split(",") if self.tls_pinned_certs else ()
        return frozenset(digest.strip().lower() for digest in listed)

    @property
    def explicit(self) -> frozenset[str]:
        """The names of settings that a source has set, even to the default, or that differ from the
        default."""
        return self.given | {row.name for row in SETTINGS if getattr(self, row.name) != row.default}

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        pairs = ((row, getattr(self, row.name)) for row in SETTINGS)
        return [(row.name, "***" if row.secret and value else value) for row, value in pairs]

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


SETTINGS = table_of(Settings)
