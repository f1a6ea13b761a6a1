"""Decides whether a client may connect, and as whom: by token, user, NKEY or certificate, or as nobody.

`network/handshake.py` calls `Authenticator.check` for each CONNECT, and `Authenticator.recheck` for connected
clients after a reload. An `Authenticator` belongs to one version of the settings; a reload creates another.
This module does no input or output; `auth/passwords.py` compares passwords, some of them in a thread.
"""

import base64
import os
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from mq9fast._core.protocol.headers import sender_block
from mq9fast._core.pubsub.permissions import Permissions
from mq9fast.auth.certificate import Certificate, CertificateUsers
from mq9fast.auth.passwords import Passwords, StillNeeded
from mq9fast.config.settings import Settings
from mq9fast.config.users import BCRYPT_HASH, decode_nkey, make_permissions


class Credentials(msgspec.Struct):
    """The fields of a CONNECT that authenticate the client, named as in the NATS protocol."""

    user: str | None = None
    password: str | None = msgspec.field(default=None, name="pass")
    auth_token: str | None = None
    nkey: str | None = None
    sig: str | None = None

    @property
    def are_empty(self) -> bool:
        """Whether they say nothing, as those of a client that signs in as no_auth_user."""
        return not (self.user or self.password or self.auth_token or self.nkey)


class Link(msgspec.Struct, frozen=True):
    """How a client is connected. `type`: "nats" or "websocket". `nonce`: the one of its INFO, "" for none.

    `certificate`: the verified certificate that it showed, None without one. `cookies`: credentials that a
    browser sent in them, for what its CONNECT leaves out.
    """

    type: str
    nonce: str = ""
    certificate: Certificate | None = None
    cookies: Credentials | None = None

    # A log must not show what it holds.
    __repr__ = object.__repr__


class Identity(msgspec.Struct, frozen=True):
    """Who a client is. `kind`: "user", "token" or "nkey"; "default" for a client without credentials that is
    the user no_auth_user; "anonymous" if the broker requires no credentials; "unverified" for `UNVERIFIED`;
    "unknown" for the user that stands for all unknown names.

    `name`: the user's name or public NKEY. `secret`: the password, bcrypt hash or token of the settings.
    `permissions`: None allows everything. `sender_block`: see `Client.sender_block`. `link_types`: the types
    of links by which the user may connect; none means all. `system`: whether `$SYS.REQ.` requests about the
    server are answered.
    """

    kind: str
    name: str = ""
    secret: str = ""
    permissions: Permissions | None = None
    sender_block: bytes | None = None
    link_types: frozenset[str] = frozenset()
    system: bool = False

    # A log must not show what it holds.
    __repr__ = object.__repr__

    def may_use(self, link: Link) -> bool:
        """Whether the user may connect by this link."""
        return not self.link_types or link.type in self.link_types


ANONYMOUS = Identity("anonymous")
# The result of `recheck` for a client that may have the right password, but has to send it again.
UNVERIFIED = Identity("unverified")
# By nats-server's connection types, which the settings have.
LINK_TYPES = {"STANDARD": "nats", "WEBSOCKET": "websocket"}
# A bcrypt hash is "$2b$12$...": characters 4 and 5 are the cost. The salt follows, then the digest.
COST = slice(4, 6)
DIGEST_CHARACTERS = 31
# Receives the identity of an authenticated client, None for a rejected one.
OnResult = Callable[[Identity | None], None]


class Authenticator:
    """Checks credentials against the settings. Secrets are compared in constant time.

    Creating one makes `passwords` forget the verified passwords of users who are gone.
    """

    def __init__(self, settings: Settings, passwords: Passwords) -> None:
        self._passwords = passwords
        self._token: Identity | None = None
        self._users: dict[str, Identity] = {}
        self._keys: dict[str, Identity] = {}
        seed = int.from_bytes(os.urandom(8), "big")
        if settings.token is not None:
            self._token = Identity("token", "", settings.token)
        elif settings.user is not None:
            self._users[settings.user] = _named("user", settings.user, settings.password or "")
        for user in settings.users:
            allowed = make_permissions(user.permissions or settings.default_permissions, seed)
            links = frozenset(LINK_TYPES[each] for each in user.allowed_connection_types)
            kind, known = ("user", self._users) if user.nkey is None else ("nkey", self._keys)
            secret = user.password or ""
            known[user.name] = _named(kind, user.name, secret, allowed, links, system=user.system)
        self._default = _default_user({**self._users, **self._keys}.get(settings.no_auth_user or ""))
        self._by_certificate = CertificateUsers(self._users)
        self._mapped_link_types = _mapped_link_types(settings)
        self._unknown_user = Identity("unknown", secret=self._secret_of_unknown_user())
        passwords.forget_all_but({identity.secret for identity in self._users.values()})

    @property
    def required(self) -> bool:
        """Whether a client must send credentials."""
        return self._token is not None or bool(self._users) or bool(self._keys)

    @property
    def optional(self) -> bool:
        """Whether a client may do without credentials: if none are required, or by no_auth_user."""
        return not self.required or self._default is not None

    def without_credentials(self, link: Link) -> Identity | None:
        """Who a client is that gives no credentials; None if it has to."""
        if not self.required:
            return ANONYMOUS
        user = self._default
        return user if user is not None and not self._maps(link) and user.may_use(link) else None

    @property
    def needs_nonce(self) -> bool:
        """Whether INFO must contain a nonce, because a client may authenticate by signing it."""
        return bool(self._keys)

    def check(self, given: Credentials, link: Link, on_result: OnResult, still_needed: StillNeeded) -> None:
        """Authenticate a client by the credentials of its CONNECT and by its link.

        Calls `on_result` at most once, maybe before it returns. If a bcrypt hash must be checked, it calls
        `on_result` in a later turn of the event loop, or not at all if `still_needed()` was false when that
        check was to begin.
        """
        default = self.without_credentials(link)
        if default is not None and (default is ANONYMOUS or given.are_empty):
            on_result(default)
        elif given.nkey and self._keys:
            on_result(self._verify_signature(given, link))
        elif self._token is not None:
            self._compare(self._token, given.auth_token, on_result, still_needed)
        else:
            # An unknown name takes as long as a known one, so that the time reveals no names.
            expected = self._user(given.user or "", link) or self._unknown_user
            self._compare(expected, given.password, on_result, still_needed)

    def _maps(self, link: Link) -> bool:
        """Whether the client's certificate says which user it is."""
        mapped = link.type in self._mapped_link_types
        # A WebSocket port without TLS has no certificates.
        return mapped and (link.type == "nats" or link.certificate is not None)

    def _user(self, name: str, link: Link) -> Identity | None:
        """The user that a client's certificate names, or else the user `name`, which needs a password."""
        if self._maps(link):
            return self._by_certificate.find(link.certificate or {}, lambda user: user.may_use(link))
        found = self._users.get(name)
        return found if found is not None and found.secret and found.may_use(link) else None

    def recheck(self, known: Identity, link: Link, on_result: OnResult, still_needed: StillNeeded) -> None:
        """Authenticate a client that earlier settings let in, without its password, which is not kept.

        Calls `on_result` as `check` does, with one of these:

        - ANONYMOUS if the settings require no credentials now
        - the identity under the new settings, if the user, token or NKEY still exists with the same secret
          (an NKEY has none), or with a hash of the old plain-text password, or with the plain-text password
          of the old hash
        - UNVERIFIED if one bcrypt hash replaced another, so that the password cannot be compared
        - the identity of a client without credentials, if the client had none
        - None in all other cases: the user, token or NKEY is gone, its secret is another one, or the client
          had no credentials and they are required now
        """
        found = self._keys.get(known.name) if known.kind == "nkey" else None
        if found is not None and not found.may_use(link):
            found = None
        if known.kind == "token":
            found = self._token
        elif known.kind == "user":
            found = self._user(known.name, link)
        elif known.kind in {"anonymous", "default"}:
            found = self.without_credentials(link)
        if not self.required:
            on_result(ANONYMOUS)
        elif found is None or found.secret == known.secret:
            on_result(found)
        elif not _is_hash(known.secret):
            self._compare(found, known.secret, on_result, still_needed)
        elif not _is_hash(found.secret):
            self._passwords.check(
                known.secret,
                found.secret,
                lambda matches: on_result(found if matches else None),
                still_needed,
            )
        else:
            on_result(UNVERIFIED)

    def _compare(
        self, expected: Identity, given: str | None, on_result: OnResult, still_needed: StillNeeded
    ) -> None:
        def compared(matches: bool) -> None:
            on_result(expected if matches and expected is not self._unknown_user else None)

        self._passwords.check(expected.secret, given or "", compared, still_needed)

    def _verify_signature(self, given: Credentials, link: Link) -> Identity | None:
        """The identity of the NKEY that signed the nonce; None if the signature is not valid."""
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey

        identity = self._keys.get(given.nkey or "")
        # The nonce is "" if the client connected before a reload added the first NKEY.
        if identity is None or not link.nonce or not identity.may_use(link):
            return None
        try:
            VerifyKey(decode_nkey(identity.name)).verify(link.nonce.encode(), _decode_base64(given.sig or ""))
        except (BadSignatureError, ValueError):
            return None
        return identity

    def _secret_of_unknown_user(self) -> str:
        """A secret that no password matches. It is a hash of the highest cost if any user has a hash, so that
        an unknown name takes as long to check as a known one."""
        hashes = [it.secret for it in self._users.values() if _is_hash(it.secret)]
        if not hashes:
            return os.urandom(32).hex()
        costliest = max(hashes, key=lambda text: text[COST])
        return costliest[:-DIGEST_CHARACTERS] + os.urandom(32).hex()[:DIGEST_CHARACTERS]


def _named(
    kind: str,
    name: str,
    secret: str,
    permissions: Permissions | None = None,
    link_types: frozenset[str] = frozenset(),
    *,
    system: bool = False,
) -> Identity:
    """The identity of clients that sign in with a name: it is in what they send to mailboxes."""
    return Identity(kind, name, secret, permissions, sender_block(name.encode()), link_types, system)


def _default_user(user: Identity | None) -> Identity | None:
    """The identity of clients that are this user without credentials."""
    return None if user is None else replace(user, kind="default", secret="")


def _is_hash(secret: str) -> bool:
    return BCRYPT_HASH.fullmatch(secret) is not None


def _decode_base64(text: str) -> bytes:
    """Decode base64 of either alphabet, with or without padding. Raises ValueError."""
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _mapped_link_types(settings: Settings) -> set[str]:
    """The types of links whose client's certificate says which user it is."""
    has_own_tls = settings.ws_tls_cert is not None
    of_websocket = settings.ws_tls_verify_and_map if has_own_tls else settings.tls_verify_and_map
    by_type = {"nats": settings.tls_verify_and_map, "websocket": of_websocket}
    return {name for name, maps in by_type.items() if maps}
