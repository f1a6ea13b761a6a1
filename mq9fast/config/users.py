"""The users of the TOML file: their credentials, and the subjects to which they may publish and subscribe.

`config/settings.py` checks users and permissions when it creates `Settings`. `auth/authenticator.py` calls
`make_permissions` and `decode_nkey`. The functions here only compute.
"""

import binascii
import re
from base64 import b32decode
from typing import Annotated, Literal

import msgspec

from mq9fast._core.protocol.subject import is_valid_subject
from mq9fast._core.pubsub.permissions import Permissions
from mq9fast.errors import SettingsError

# nats-server treats a password with this prefix as a bcrypt hash. bcrypt can check complete hashes only.
BCRYPT_PREFIX = re.compile(r"\$2[abxy]\$")
BCRYPT_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
# The first byte of the public NKEY of a user: it makes the text begin with U.
USER_PREFIX = bytes([20 << 3])
PUBLIC_KEY_BYTES = 32
# Unicode categories: control characters, and surrogates, which are not text.
NOT_IN_NAMES = {"Cc", "Cs"}
SUBJECT = re.compile(r"[^\s\x00-\x1f\x7f]+")

# nats-server's names for the ports of clients.
ConnectionType = Literal["STANDARD", "WEBSOCKET"]
NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Subjects = str | tuple[str, ...]
SubscribeEntry = tuple[bytes, bytes | None]


class SubjectLists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Subjects, with wildcards, that are allowed and denied. Without `allow`, all subjects are allowed except
    those in `deny`."""

    allow: Subjects | None = None
    deny: Subjects = ()

    @property
    def allowed(self) -> tuple[str, ...] | None:
        """The entries of `allow`; None allows everything."""
        return None if self.allow is None else _as_tuple(self.allow)

    @property
    def denied(self) -> tuple[str, ...]:
        """The entries of `deny`."""
        return _as_tuple(self.deny)


class ResponseLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages a user may publish to the reply subject of a message, and for how many seconds."""

    max: Annotated[int, msgspec.Meta(ge=0, le=2**32)] = 1
    expires: Annotated[float, msgspec.Meta(ge=0, le=2**32)] = 120.0


class PermissionLists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user may publish and subscribe to. A subject or list of subjects is allowed; None allows all.

    `allow_responses`: also the reply subject of each message that the user receives. Nothing else is allowed
    for publishing then, unless `publish` allows it.
    """

    publish: Subjects | SubjectLists | None = None
    subscribe: Subjects | SubjectLists | None = None
    allow_responses: bool | ResponseLimits = False


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One user: a name and a password, which may be a bcrypt hash, or else a public NKEY.

    With tls_verify_and_map a user with a name needs no password, nor does no_auth_user.
    `system`: the user may send `$SYS.REQ.` requests about the server, as one of nats-server's system account.
    """

    user: NotEmpty | None = None
    password: NotEmpty | None = None
    nkey: NotEmpty | None = None
    permissions: PermissionLists | None = None
    allowed_connection_types: tuple[ConnectionType, ...] = ()
    system: bool = False

    @property
    def name(self) -> str:
        """The name in errors and on the monitoring pages."""
        return self.user or self.nkey or ""

    def __rich_repr__(self) -> list[tuple[str, object]]:
        shown = ("user", "nkey", "permissions", "allowed_connection_types", "system")
        return [(name, getattr(self, name)) for name in shown]

    def __repr__(self) -> str:
        return f"User({self.name!r})"


def check_users(users: tuple[User, ...], no_auth_user: str | None, *, passwords: bool) -> None:
    """Raise SettingsError for the first user that is not valid.

    `passwords`: whether a user other than `no_auth_user` needs one.
    """
    names = set()
    for number, user in enumerate(users, 1):
        if (user.nkey is None) == (user.user is None):
            raise SettingsError(f"user {number} needs either user and password, or nkey")
        has_name, has_password = user.user is not None, user.password is not None
        needs_password = passwords and user.name != no_auth_user
        if has_name != has_password and (has_password or needs_password):
            raise SettingsError(
                f"user {user.name!r} needs a password with user, and must have none with nkey"
            )
        if user.name in names:
            raise SettingsError(f"user {user.name!r} is listed twice")
        if user.user is not None:
            check_user_name(user.user)
        names.add(user.name)
        if user.password is not None:
            check_password(user.password, f"the password of user {user.name!r}")
        if user.nkey is not None:
            decode_nkey(user.nkey)
        check_permissions(user.permissions, f"user {user.name!r}")


def check_user_name(name: str) -> None:
    """Raise SettingsError for a name that a header cannot have as its value: see `Mq9-From`."""
    if not name:
        return
    # Imported late, because a start must be quick.
    import unicodedata

    if any(unicodedata.category(character) in NOT_IN_NAMES for character in name) or name != name.strip():
        raise SettingsError(
            f"the user name {name!r} cannot be used: it has control characters, or blanks at its start or end"
        )


def check_password(password: str, name: str) -> None:
    """Raise SettingsError for an incomplete bcrypt hash, which no password could match.

    `name`: what the error calls the password.
    """
    if BCRYPT_PREFIX.match(password) and not BCRYPT_HASH.fullmatch(password):
        raise SettingsError(f"{name} begins like a bcrypt hash but is not a complete one")


def decode_nkey(nkey: str) -> bytes:
    """The Ed25519 key, 32 bytes, in the public NKEY of a user. Raises SettingsError if it is not valid."""
    try:
        raw = b32decode(nkey + "=" * (-len(nkey) % 8))
    except (binascii.Error, ValueError):
        raw = b""
    prefix, key, checksum = raw[:1], raw[1:-2], raw[-2:]
    if prefix != USER_PREFIX or len(key) != PUBLIC_KEY_BYTES:
        raise SettingsError(
            f"{nkey!r} is not the public NKEY of a user, which has 56 characters and begins with U"
        )
    if binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != checksum:
        raise SettingsError(f"the NKEY {nkey!r} is mistyped: its checksum does not match")
    return key


def check_permissions(lists: PermissionLists | None, owner: str) -> None:
    """Raise SettingsError if an entry is not a subject. `owner`: what the error calls the user."""
    if lists is None:
        return
    for direction, rules in (("publish", lists.publish), ("subscribe", lists.subscribe)):
        subjects = subject_lists(rules)
        for entry in (*(subjects.allowed or ()), *subjects.denied):
            subject, *queue = entry.split(" ")
            if len(queue) > (direction == "subscribe") or not all(map(_is_subject, (subject, *queue))):
                raise SettingsError(f"{owner} has a {direction} permission that is not a subject: {entry!r}")


def make_permissions(lists: PermissionLists | None, seed: int) -> Permissions | None:
    """Compile checked lists; None allows everything. `seed`: 64 random bits for hash tables."""
    if lists is None:
        return None
    publish, subscribe = subject_lists(lists.publish), subject_lists(lists.subscribe)
    may_publish = () if publish.allowed is None and lists.allow_responses else publish.allowed
    return Permissions(
        None if may_publish is None else tuple(entry.encode() for entry in may_publish),
        tuple(entry.encode() for entry in publish.denied),
        None if subscribe.allowed is None else tuple(map(_split_queue, subscribe.allowed)),
        tuple(map(_split_queue, subscribe.denied)),
        seed,
        _responses(lists.allow_responses),
    )


def _responses(allowed: bool | ResponseLimits) -> tuple[int, int] | None:
    """The number of messages and the time in milliseconds; None if no responses are allowed."""
    if not allowed:
        return None
    limits = allowed if isinstance(allowed, ResponseLimits) else ResponseLimits()
    return limits.max, int(limits.expires * 1000)


def subject_lists(rules: Subjects | SubjectLists | None) -> SubjectLists:
    """The rules of one direction in their longest form."""
    if rules is None:
        return SubjectLists()
    return rules if isinstance(rules, SubjectLists) else SubjectLists(allow=rules)


def _as_tuple(subjects: Subjects) -> tuple[str, ...]:
    return (subjects,) if isinstance(subjects, str) else subjects


def _is_subject(text: str) -> bool:
    try:
        return SUBJECT.fullmatch(text) is not None and is_valid_subject(text.encode())
    except UnicodeEncodeError:
        return False


def _split_queue(entry: str) -> SubscribeEntry:
    subject, _, queue = entry.partition(" ")
    return subject.encode(), queue.encode() or None
