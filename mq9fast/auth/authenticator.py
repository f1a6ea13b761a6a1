"""Signing in: any client, those with the token, or the users that the settings name."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mq9fast._core.pubsub.permissions import Permissions
from mq9fast.auth.passwords import Passwords
from mq9fast.config.settings import Settings
from mq9fast.config.users import BCRYPT_HASH, permissions, public_key


class Credentials(msgspec.Struct):
    """What a CONNECT shows of itself (NATS protocol, CONNECT)."""

    user: str | None = None
    password: str | None = msgspec.field(default=None, name="pass")
    auth_token: str | None = None
    nkey: str | None = None
    sig: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """What a client signed in as. `kind` is user, token, nkey, or anybody where no credentials are needed."""

    kind: str
    name: str = ""
    secret: str = ""
    permissions: Permissions | None = None


ANYBODY = Identity("anybody")
# A client that may have the right password, and has to show it again.
UNPROVED = Identity("unproved")
# The end of a bcrypt hash; what comes before it is its cost and salt.
DIGEST_CHARACTERS = 31
Verdict = Callable[[Identity | None], None]
Wanted = Callable[[], bool]


class Authenticator:
    """Checks what a CONNECT shows against the settings. Secrets are compared in constant time."""

    def __init__(self, settings: Settings, passwords: Passwords) -> None:
        self._passwords = passwords
        self._token: Identity | None = None
        self._users: dict[str, Identity] = {}
        self._keys: dict[str, Identity] = {}
        seed = secrets.randbits(64)
        if settings.token is not None:
            self._token = Identity("token", "", settings.token)
        elif settings.user is not None:
            self._users[settings.user] = Identity("user", settings.user, settings.password or "")
        for user in settings.users:
            allowed = permissions(user.permissions or settings.default_permissions, seed)
            if user.nkey is not None:
                self._keys[user.nkey] = Identity("nkey", user.nkey, permissions=allowed)
            else:
                self._users[user.name] = Identity("user", user.name, user.password or "", allowed)
        self._nobody = Identity("nobody", secret=self._secret_of_nobody())
        passwords.forget(but={identity.secret for identity in self._users.values()})

    @property
    def required(self) -> bool:
        """Whether a client has to show credentials."""
        return self._token is not None or bool(self._users) or bool(self._keys)

    @property
    def challenges(self) -> bool:
        """Whether a client may sign a nonce."""
        return bool(self._keys)

    def check(self, given: Credentials, nonce: str, verdict: Verdict, wanted: Wanted) -> None:
        """Call `verdict` with the identity, or None, at once or in a later turn of the event loop if it is
        still `wanted` then."""
        if not self.required:
            verdict(ANYBODY)
        elif given.nkey and self._keys:
            verdict(self._signer(given, nonce))
        elif self._token is not None:
            self._compare(self._token, given.auth_token, verdict, wanted)
        else:
            # For a name that is not known, the same work is done, so that the time does not tell.
            expected = self._users.get(given.user or "", self._nobody)
            self._compare(expected, given.password, verdict, wanted)

    def readmit(self, known: Identity, verdict: Verdict, wanted: Wanted) -> None:
        """Like `check`, for a client that other settings let in and whose password is not kept.

        It may stay if its user or token is still there and the password is the same. If a hash was replaced
        by another, nobody can tell, and the verdict is UNPROVED.
        """
        found = {"user": self._users, "nkey": self._keys}.get(known.kind, {}).get(known.name)
        if known.kind == "token":
            found = self._token
        if not self.required:
            verdict(ANYBODY)
        elif found is None or found.secret == known.secret:
            verdict(found)
        elif not _is_hash(known.secret):
            self._compare(found, known.secret, verdict, wanted)
        elif not _is_hash(found.secret):
            self._passwords.check(
                known.secret, found.secret, lambda right: verdict(found if right else None), wanted
            )
        else:
            verdict(UNPROVED)

    def _compare(self, expected: Identity, given: str | None, verdict: Verdict, wanted: Wanted) -> None:
        def done(right: bool) -> None:
            verdict(expected if right and expected is not self._nobody else None)

        self._passwords.check(expected.secret, given or "", done, wanted)

    def _signer(self, given: Credentials, nonce: str) -> Identity | None:
        """The identity of the NKEY that signed the nonce of this connection's INFO; None if none did."""
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey

        identity = self._keys.get(given.nkey or "")
        # A client that connected before there were NKEYs got no nonce.
        if identity is None or not nonce:
            return None
        try:
            VerifyKey(public_key(identity.name)).verify(nonce.encode(), _decoded(given.sig or ""))
        except (BadSignatureError, ValueError):
            return None
        return identity

    def _secret_of_nobody(self) -> str:
        """A hash of the highest configured cost that no password has, so unknown names take equally long."""
        hashes = [it.secret for it in self._users.values() if _is_hash(it.secret)]
        if not hashes:
            return secrets.token_hex()
        dearest = max(hashes, key=lambda text: text[4:6])
        return dearest[:-DIGEST_CHARACTERS] + secrets.token_hex()[:DIGEST_CHARACTERS]


def _is_hash(secret: str) -> bool:
    return BCRYPT_HASH.fullmatch(secret) is not None


def _decoded(signature: str) -> bytes:
    """Base64 of either alphabet, padded or not; ValueError if it is none."""
    text = signature.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
