"""The configuration files that `mq9fast cluster start` writes: of a node's broker and of its nats-server.

Both can be used without `mq9fast cluster start`: `nats-server -c DIR/nats-server.conf` and
`mq9fast --config DIR/mq9.toml` are what it runs.
"""

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from mq9fast.cluster.peers import THIS_MACHINE, Peer
from mq9fast.errors import StartError

LOG_CONFIG = "nats-server.conf"
BROKER_CONFIG = "mq9.toml"
LOG_DATA = "log"
BROKER_DATA = "data"
ANY_ADDRESS = "0.0.0.0"
# Records of the log may be this large, and are a commit group or a part of one.
MAX_RECORD_BYTES = 8 << 20


def derived(secret: str, purpose: str) -> str:
    """A password made of the cluster's secret, which does not tell the secret."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


class TlsFiles(NamedTuple):
    """A certificate for the node's address, its key, and the certificate of the authority of all nodes."""

    cert: Path
    key: Path
    ca: Path


class NodeFiles:
    """The files of one node in its directory. `secret`: of the cluster, "" if all nodes are on this machine.

    `settings`: a TOML file with more settings of the broker. `tls`: encrypts everything between nodes.
    """

    def __init__(
        self,
        directory: Path,
        me: Peer,
        peers: list[Peer],
        secret: str,
        settings: Path | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        self.directory = directory
        self.log_config = directory / LOG_CONFIG
        self.broker_config = directory / BROKER_CONFIG
        self._me = me
        self._peers = peers
        self._secret = secret
        self._settings = settings
        self._tls = tls
        self._listen = THIS_MACHINE if me.is_local else ANY_ADDRESS

    def write(self) -> None:
        """Write both files, with permissions for their owner only. Raises StartError."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            _write(self.log_config, self.log_text())
            _write(self.broker_config, self.broker_text())
        except OSError as error:
            raise StartError(
                f"the files of node {self._me.name} cannot be written to {self.directory}: {error.strerror}"
            ) from error

    def log_text(self) -> str:
        """The configuration of nats-server."""
        me = self._me
        sign_in = self._sign_in("routes")
        routes = [
            f"    nats-route://{sign_in}{peer.host}:{peer.route_port}" for peer in self._peers if peer != me
        ]
        lines = [
            "# Written by mq9fast cluster start, which writes it again at each start.",
            f"server_name: {json.dumps(me.name)}",
            f'listen: "{self._listen}:{me.log_port}"',
            f'http: "{THIS_MACHINE}:{me.log_monitor_port}"',
            f"max_payload: {MAX_RECORD_BYTES}",
            f"max_pending: {8 * MAX_RECORD_BYTES}",
            "jetstream {",
            f"    store_dir: {json.dumps(str(self.directory / LOG_DATA))}",
            "    sync_interval: always",
            "}",
            "cluster {",
            '    name: "mq9fast"',
            f'    listen: "{self._listen}:{me.route_port}"',
            *self._authorization("routes", "    "),
            *self._tls_block("    "),
            "    routes: [",
            *routes,
            "    ]",
            "}",
            *self._authorization("log", ""),
            *self._tls_block(""),
        ]
        return "\n".join(lines) + "\n"

    def _authorization(self, purpose: str, indent: str) -> list[str]:
        if not self._secret:
            return []
        password = json.dumps(derived(self._secret, purpose))
        return [f"{indent}authorization {{ user: mq9fast, password: {password} }}"]

    def _tls_block(self, indent: str) -> list[str]:
        """Both sides of a connection show a certificate."""
        if self._tls is None:
            return []
        files = zip(("cert_file", "key_file", "ca_file"), self._tls, strict=True)
        listed = ", ".join(f"{name}: {json.dumps(str(path.absolute()))}" for name, path in files)
        return [f"{indent}tls {{ {listed}, verify: true }}"]

    def _sign_in(self, purpose: str) -> str:
        return f"mq9fast:{derived(self._secret, purpose)}@" if self._secret else ""

    def broker_text(self) -> str:
        """The settings of the broker."""
        me = self._me
        # The node connects to the first server that it reaches: the one on this machine.
        servers = sorted(self._peers, key=lambda peer: peer != me)
        values: dict[str, Any] = {
            "node_name": me.name,
            "cluster_log": ",".join(f"nats://{peer.host}:{peer.log_port}" for peer in servers),
            "cluster_log_monitor": f"http://{THIS_MACHINE}:{me.log_monitor_port}",
            "cluster_host": self._listen,
            "cluster_port": me.transfer_port,
            "cluster_advertise": f"{me.host}:{me.transfer_port}",
            "data_dir": str(self.directory / BROKER_DATA),
            "host": self._listen,
            "port": me.client_port,
            # Clients get the addresses of all nodes at once, also of those that are not heard of yet.
            "advertise": ",".join(f"{peer.host}:{peer.client_port}" for peer in servers),
            "monitor_port": me.monitor_port,
        }
        if self._secret:
            values["cluster_log_user"] = "mq9fast"
            values["cluster_log_password"] = derived(self._secret, "log")
            values["cluster_secret"] = derived(self._secret, "transfer")
        if self._tls is not None:
            for name, path in self._tls._asdict().items():
                values[f"cluster_log_tls_{name}"] = str(path.absolute())
        lines = ["# Written by mq9fast cluster start, which writes it again at each start."]
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        if self._settings is not None:
            lines += ["", f"# From {self._settings}.", self._settings.read_text()]
        return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)
