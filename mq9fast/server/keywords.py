"""The settings as keywords of `mq9fast.Broker`, for type checkers. A test compares them with `Settings`."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict


class SettingsKeywords(TypedDict, total=False):
    """The settings that docs/operations.md describes, without those that only a process of its own uses."""

    host: str
    port: int
    proxy_protocol: bool
    data_dir: str | PathLike[str]
    sync: Literal["always", "interval", "never"]
    sync_interval: float
    accept_loss: bool
    monitor_host: str
    monitor_port: int
    monitor_tls: bool
    monitor_base_path: str
    ws_host: str
    ws_port: int
    ws_tls: bool
    ws_tls_cert: str | PathLike[str]
    ws_tls_key: str | PathLike[str]
    ws_tls_ca: str | PathLike[str]
    ws_tls_verify: bool
    ws_tls_verify_and_map: bool
    ws_origins: str
    ws_same_origin: bool
    ws_compression: bool
    ws_username_cookie: str
    ws_password_cookie: str
    ws_token_cookie: str
    ws_forwarded_for: bool
    console: bool
    max_payload: int
    user: str
    password: str
    token: str
    tls_cert: str | PathLike[str]
    tls_key: str | PathLike[str]
    tls_ca: str | PathLike[str]
    tls_verify: bool
    tls_verify_and_map: bool
    tls_min_version: Literal["1.2", "1.3"]
    tls_ciphers: str
    tls_pinned_certs: str
    tls_handshake_rate: int
    allow_non_tls: bool
    tls_handshake_first: Literal["off", "on", "auto"]
    server_name: str
    advertise: str
    auto_create: bool
    max_control_line: int
    max_connections: int
    max_subscriptions: int
    max_subscription_tokens: int
    max_pending: int
    write_deadline: float
    max_mailboxes: int
    max_mailbox_messages: int
    max_mailbox_bytes: int
    max_store_bytes: int
    min_free: int
    ping_interval: float
    ping_max: int
    auth_timeout: float
    busy_poll: int
    users: Sequence[Mapping[str, Any]]
    default_permissions: Mapping[str, Any]
    no_auth_user: str
