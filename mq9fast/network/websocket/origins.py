"""Which web pages may connect to the WebSocket port, by the origin that the browser sends.

`upgrade.py` asks for each upgrade. A start, a reload and a check of the settings read them with `Origins`.
"""

from urllib.parse import urlsplit

from mq9fast.config.settings import Settings
from mq9fast.errors import StartError


class Origins:
    """The settings ws_origins, a list, and ws_same_origin. Without them any page may connect.

    As on nats-server, scheme, host and port must be those of an entry of the list; with ws_same_origin, those
    that the browser connects to. With both settings, both must hold. A client without an Origin header may
    connect. Raises StartError if the list has an entry that is not an origin.
    """

    def __init__(self, settings: Settings) -> None:
        self._same = settings.ws_same_origin
        self._listed = set()
        for text in settings.ws_origins.split(",") if settings.ws_origins else ():
            origin = _origin(text.strip())
            if origin is None:
                raise StartError(
                    f"ws_origins: {text.strip()!r} is not an origin (example: https://example.org)"
                )
            self._listed.add(origin)

    @property
    def all(self) -> bool:
        """Whether every web page may connect."""
        return not self._listed and not self._same

    def allow(self, origin: str | None, host: str, *, secure: bool) -> bool:
        """Whether a page of this origin may connect. `host`: the Host header. `secure`: over TLS."""
        if self.all or origin is None:
            return True
        found = _origin(origin)
        if found is None:
            return False
        here = _origin(f"{'https' if secure else 'http'}://{host}")
        if self._same and found != here:
            return False
        return not self._listed or found in self._listed


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an origin; None if `text` is not one."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not parts.scheme or not host or parts.path not in {"", "/"} or parts.query or parts.fragment:
        return None
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return parts.scheme, host, port
