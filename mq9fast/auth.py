"""Who may connect: everybody, whoever has the token, or the one user with the password."""

import hmac

from mq9fast.settings import Settings


class Authenticator:
    """Checks the credentials of a CONNECT against the settings. Secrets are compared in constant time."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.token
        self._user = settings.user
        self._password = settings.password

    @property
    def required(self) -> bool:
        """Whether a client has to show credentials."""
        return self._token is not None or self._user is not None

    def accepts(self, *, user: str | None, password: str | None, token: str | None) -> bool:
        """Whether a client with these credentials may connect."""
        if self._token is not None:
            return _same(self._token, token)
        if self._user is not None:
            # Both are compared, so that the time does not tell which was wrong.
            known, right = _same(self._user, user), _same(self._password, password)
            return known and right
        return True


def _same(expected: str | None, given: str | None) -> bool:
    return hmac.compare_digest((expected or "").encode(), (given or "").encode("utf-8", "surrogatepass"))
