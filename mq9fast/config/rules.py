"""The rules between settings, such as that tls_cert needs tls_key.

The constructor of `config/settings.py`'s `Settings` calls `check_rules`. This module does no input or output.
"""

import re
from typing import TYPE_CHECKING

from mq9fast.config.users import check_password, check_permissions, check_user_name, check_users
from mq9fast.errors import SettingsError

if TYPE_CHECKING:
    from mq9fast.config.settings import Settings

# Patterns as text: compiling those that a start does not need would make it slower.
BASE_PATH = r"(?:/[A-Za-z0-9._~-]+)+"
DIGEST = r"[0-9a-f]{64}"
NODE_NAME = r"[A-Za-z0-9_-]{1,32}"
ADDRESS = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s,:/@\[\]]+):([0-9]{1,5})"

# A setting that has one of these values needs no other.
UNSET = (None, False, "", "off")
# The first setting of each pair needs the second.
NEEDS = (
    ("user", "password"),
    ("password", "user"),
    ("tls_cert", "tls_key"),
    ("tls_key", "tls_cert"),
    ("tls_ca", "tls_cert"),
    ("tls_verify", "tls_cert"),
    ("tls_verify", "tls_ca"),
    ("tls_verify_and_map", "tls_cert"),
    ("tls_verify_and_map", "tls_ca"),
    ("tls_handshake_first", "tls_cert"),
    ("allow_non_tls", "tls_cert"),
    ("tls_ciphers", "tls_cert"),
    ("tls_pinned_certs", "tls_ca"),
    ("monitor_tls", "tls_cert"),
    ("ws_tls_cert", "ws_tls_key"),
    ("ws_tls_key", "ws_tls_cert"),
    ("ws_tls_ca", "ws_tls_cert"),
    ("ws_tls_verify", "ws_tls_ca"),
    ("ws_tls_verify_and_map", "ws_tls_ca"),
    ("cluster_log", "node_name"),
    ("cluster_log", "cluster_log_monitor"),
    ("cluster_log_user", "cluster_log_password"),
    ("cluster_log_password", "cluster_log_user"),
    ("cluster_log_tls_cert", "cluster_log_tls_key"),
    ("cluster_log_tls_key", "cluster_log_tls_cert"),
    ("cluster_log_tls_cert", "cluster_log_tls_ca"),
)


def check_rules(settings: "Settings") -> None:
    """Raise SettingsError for the first rule that the settings, their users or permissions break."""
    for name, needed in NEEDS:
        if getattr(settings, name) not in UNSET and not getattr(settings, needed):
            raise SettingsError(f"{name} needs {needed}, which is not set")
    _check_sign_in(settings)
    _check_tls(settings)
    _check_addresses(settings)
    _check_cluster(settings)


def _check_sign_in(settings: "Settings") -> None:
    if settings.token and settings.user:
        raise SettingsError("token and user are both set: use only one of them")
    if settings.users and (settings.token or settings.user):
        raise SettingsError("users are listed, and user or token is set too: use only one of them")
    check_user_name(settings.user or "")
    if settings.no_auth_user and settings.no_auth_user not in {user.name for user in settings.users}:
        raise SettingsError(f"no_auth_user: {settings.no_auth_user!r} is not in the list of users")
    by_certificate = settings.tls_verify_and_map or settings.ws_tls_verify_and_map
    check_users(settings.users, settings.no_auth_user, passwords=not by_certificate)
    check_permissions(settings.default_permissions, "default_permissions")
    check_password(settings.password or "", "password")
    check_password(settings.token or "", "token")


def _check_tls(settings: "Settings") -> None:
    if settings.allow_non_tls and settings.tls_handshake_first != "off":
        raise SettingsError("allow_non_tls and tls_handshake_first are both set: use only one of them")
    for digest in settings.pinned_certs:
        if re.fullmatch(DIGEST, digest) is None:
            raise SettingsError(f"tls_pinned_certs: {digest!r} is not a SHA-256 digest, of 64 hex digits")
    if settings.pinned_certs and not (settings.tls_verify or settings.tls_verify_and_map):
        raise SettingsError("tls_pinned_certs needs tls_verify or tls_verify_and_map, which are not set")


def _check_addresses(settings: "Settings") -> None:
    path = settings.monitor_base_path
    if path is not None and re.fullmatch(BASE_PATH, path) is None:
        raise SettingsError(f"monitor_base_path: {path!r} is not a path such as /broker1")
    for address in settings.advertised:
        found = re.fullmatch(ADDRESS, address)
        if found is None or not 1 <= int(found[1]) <= 65535:
            raise SettingsError(f"advertise: {address!r} is not host:port")


def _check_cluster(settings: "Settings") -> None:
    for name in (settings.node_name, settings.cluster_name):
        if name not in (None, "MQ9") and re.fullmatch(NODE_NAME, name) is None:
            raise SettingsError(f"node_name, cluster_name: {name!r} is not 1 to 32 of A-Z, a-z, 0-9, - and _")
    if settings.cluster_log and settings.sync != "always":
        raise SettingsError("cluster_log and sync: a cluster syncs each acknowledgement, with always")
    address = settings.cluster_advertise
    if address and re.fullmatch(ADDRESS, address) is None:
        raise SettingsError(f"cluster_advertise: {address!r} is not host:port")
