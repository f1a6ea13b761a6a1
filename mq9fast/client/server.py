"""Where the broker is and how to sign in: from arguments, the environment, or a context of the nats CLI.

What is given first counts: an argument, then the variable `MQ9_...`, then `NATS_...`, then the context. The
context is the one that `context` or the variable `MQ9_CONTEXT` or `NATS_CONTEXT` names. The one that
`nats context select` chose is taken only if nothing says another URL, so that its password goes to no other
server.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mq9fast.client.errors import BadContext

DEFAULT_URL = "nats://127.0.0.1:4222"


class _Context(msgspec.Struct):
    """What is read of a context file."""

    url: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    nkey: str = ""
    creds: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    inbox_prefix: str = ""
    tls_first: bool = False


@dataclass(frozen=True)
class Server:
    """`url`: one URL, or several with commas. `nkey`: a file with a seed. `ca`, `cert`, `key`: files."""

    url: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    nkey: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    inbox_prefix: str = ""
    tls_first: bool = False

    @property
    def urls(self) -> list[str]:
        return [url.strip() for url in (self.url or DEFAULT_URL).split(",") if url.strip()]

    @property
    def shown(self) -> str:
        """The URLs without user names and passwords."""
        return ", ".join(_without_credentials(url) for url in self.urls)

    def seed(self) -> bytes:
        """The 32 bytes of the NKEY's seed. Raises BadContext."""
        # Imported late: most clients have no NKEY.
        from base64 import b32decode
        from binascii import crc_hqx

        try:
            lines = Path(self.nkey).expanduser().read_text().split()
            seed = next(line for line in lines if line.startswith("SU"))
            data = b32decode(seed + "=" * (-len(seed) % 8))
        except (OSError, ValueError, StopIteration) as error:
            raise BadContext(f"The file {self.nkey} has no seed of a user's NKEY: {error}.") from None
        # Two bytes of prefix, the seed, and a checksum of both.
        if len(data) != 36 or crc_hqx(data[:34], 0) != int.from_bytes(data[34:], "little"):
            raise BadContext(f"The seed in the file {self.nkey} is not complete.")
        return data[2:34]

    def tls(self) -> ssl.SSLContext | None:
        """The settings of TLS, or None for the defaults. Raises BadContext."""
        if not (self.ca or self.cert):
            return None
        try:
            context = ssl.create_default_context(cafile=_path(self.ca) if self.ca else None)
            if self.cert:
                context.load_cert_chain(_path(self.cert), _path(self.key) if self.key else None)
        except (OSError, ssl.SSLError) as error:
            raise BadContext(f"The certificate or the key cannot be read: {error}.") from None
        return context


def find_server(
    given: Mapping[str, str | None], context: str | None = None, environ: Mapping[str, str] = os.environ
) -> Server:
    """Combine what the arguments, the environment and a context say. Raises BadContext.

    `given`: values for the fields of Server. `context`: the name of a context, or the path of its file; then
    the environment does not count.
    """
    found = {name: value for name, value in given.items() if value}
    if not context:
        for entry in fields(Server):
            name = entry.name.upper()
            if value := environ.get(f"MQ9_{name}") or environ.get(f"NATS_{name}"):
                found.setdefault(entry.name, value)
        context = environ.get("MQ9_CONTEXT") or environ.get("NATS_CONTEXT")
        if not context and "url" not in found:
            context = _selected(environ)
    if context:
        for name, value in _read_context(context, environ).items():
            found.setdefault(name, value)
    first = str(found.pop("tls_first", "")).lower() in ("true", "1", "yes")
    return Server(**found, tls_first=first)


def _directory(environ: Mapping[str, str]) -> Path:
    home = environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path(environ.get("HOME", "~")).expanduser() / ".config") / "nats"


def _selected(environ: Mapping[str, str]) -> str:
    try:
        return (_directory(environ) / "context.txt").read_text().strip()
    except OSError:
        return ""


def _read_context(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    file = Path(name) if name.endswith(".json") else _directory(environ) / "context" / f"{name}.json"
    try:
        context = msgspec.json.decode(file.read_bytes(), type=_Context)
    except OSError as error:
        raise BadContext(f"The context '{name}' cannot be read: {error.strerror}: {file}.") from None
    except msgspec.DecodeError as error:
        raise BadContext(f"The context '{name}' is not valid: {error}: {file}.") from None
    if context.creds:
        raise BadContext(
            f"The context '{name}' signs in with a JWT, which mq9fast does not know: use an NKEY."
        )
    values = {name: str(value) for name, value in msgspec.structs.asdict(context).items() if value}
    for name in ("nkey", "ca", "cert", "key"):
        if name in values:
            values[name] = _path(values[name])
    return values


def _path(name: str) -> str:
    return str(Path(name).expanduser())


def _without_credentials(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
