"""Files that tell other programs about a broker that runs: its process id, and the ports that it serves.

`process.py` writes them when the broker serves, and removes them when it stops.
"""

import logging
import os
from pathlib import Path

from mq9fast.errors import StartError
from mq9fast.network.listen import in_url
from mq9fast.server.broker import Broker

log = logging.getLogger("mq9fast.server")


class ProcessFiles:
    """The files that the settings of a broker name: `pid_file`, and one in `ports_file_dir`."""

    def __init__(self, broker: Broker) -> None:
        """Write them. Raises StartError if that is not possible."""
        self._written: list[Path] = []
        settings = broker.settings
        if settings.pid_file is not None:
            self._write(Path(settings.pid_file), str(os.getpid()), "pid_file")
        if settings.ports_file_dir is not None:
            path = Path(settings.ports_file_dir) / f"mq9fast_{os.getpid()}.ports"
            import json

            self._write(path, json.dumps(_ports(broker), indent=1) + "\n", "ports_file_dir")

    def _write(self, path: Path, text: str, setting: str) -> None:
        # Another program that reads the file finds all of the text or no file.
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_text(text)
            unfinished.replace(path)
        except (OSError, ValueError) as error:
            self.remove()
            reason = getattr(error, "strerror", None) or error
            raise StartError(f"{setting}: the file {str(path)!r} cannot be written: {reason}") from error
        self._written.append(path)

    def remove(self) -> None:
        """Remove what was written. A file that cannot be removed stays, with a line in the log."""
        for path in self._written:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("the file %s cannot be removed: %s", path, error.strerror)
        self._written = []


def _ports(broker: Broker) -> dict[str, list[str]]:
    """The URLs of each kind of port, as in nats-server's ports file."""
    settings = broker.settings
    host, port = broker.address
    found = {"nats": [f"{'nats' if settings.tls_cert is None else 'tls'}://{in_url(host)}:{port}"]}
    if broker.monitor is not None:
        scheme = "https" if settings.monitor_tls else "http"
        found["monitoring"] = [f"{scheme}://{in_url(settings.monitor_host)}:{broker.monitor.port}"]
    websocket = broker.handshake.info_overrides.get("websocket")
    if websocket is not None:
        scheme = "wss" if websocket["tls_required"] else "ws"
        found["websocket"] = [f"{scheme}://{in_url(settings.ws_host)}:{websocket['port']}"]
    return found
