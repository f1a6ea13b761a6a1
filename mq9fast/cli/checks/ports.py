"""Whether the ports of the settings are free, and otherwise which process has them."""

import sys
from collections.abc import Iterator
from pathlib import Path

from mq9fast.cli.checks.machine import Finding
from mq9fast.config.settings import Settings
from mq9fast.network.listen import bind, in_url
from mq9fast.text import printable

LISTENING = "0A"


def ports(settings: Settings) -> Iterator[Finding]:
    """One finding for each port that a broker with these settings would open."""
    for name, host in (
        ("port", settings.host),
        ("monitor_port", settings.monitor_host),
        ("ws_port", settings.ws_host),
    ):
        port = getattr(settings, name)
        if port >= 0:
            yield _port(name, host, port, needed=name != "monitor_port" or name in settings.explicit)


def _port(name: str, host: str, port: int, *, needed: bool) -> Finding:
    try:
        for bound in bind(host, port):
            bound.close()
    except OSError as error:
        holder = holder_of(port)
        reason = f"{holder} uses it" if holder else str(error.strerror or error)
        return Finding(name, "error" if needed else "warning", f"{in_url(host)}:{port} is not free: {reason}")
    return Finding(name, "ok", f"{in_url(host)}:{port or 'any port'} is free")


def holder_of(port: int) -> str:
    """The process that listens on a TCP port of this Linux machine; "" if it cannot be seen."""
    if sys.platform != "linux":
        return ""
    inodes = set(_listening_inodes(port))
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(link.readlink()) for link in (directory / "fd").iterdir()]
            if any(f"socket:[{inode}]" in links for inode in inodes):
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                return f"process {directory.name} ({printable(command.strip(), 60)})"
        except OSError:  # the process has ended, or belongs to another user
            continue
    return ""


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            _, local, _, state, *rest = line.split()
            if state == LISTENING and int(local.rpartition(":")[2], 16) == port:
                yield rest[5]
