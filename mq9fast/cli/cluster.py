"""`mq9fast cluster start` and `mq9fast cluster status`: one node of a cluster, and what its nodes say."""

import asyncio
import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.cli.status import Status
from mq9fast.errors import StartError

DEFAULT_PORT = 4222
DEFAULT_MONITOR = "http://127.0.0.1:8222"
STATUS_SECONDS = 5.0
COLUMNS = ("node", "role", "epoch", "applied", "durable", "behind", "lag_seconds", "clients", "faults")


class Action(str, Enum):
    """What to do."""

    start = "start"
    status = "status"


def command(
    action: Annotated[Action, typer.Argument(help="start: run one node. status: show all nodes.")],
    name: Annotated[str, typer.Option(help="start: the name of this node, one of --peers.")] = "",
    peers: Annotated[
        str,
        typer.Option(
            help="start: all nodes, the same list on each: n1=10.0.0.1,n2=10.0.0.2,n3=10.0.0.3. "
            "Nodes without addresses are all on this machine."
        ),
    ] = "",
    directory: Annotated[
        Path | None, typer.Option("--dir", help="start: where the node keeps everything. [default: ./NAME]")
    ] = None,
    port: Annotated[
        int, typer.Option(help="start: port for clients; others are derived, the same on each node.")
    ] = DEFAULT_PORT,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="start: file with a secret of all nodes; MQ9FAST_CLUSTER_SECRET works too."),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="start: certificate of this node, for its address, to encrypt all between nodes."),
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="start: its key.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="start: certificate of the authority that signed those of all nodes.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="start: TOML file with more settings of the broker, such as users.")
    ] = None,
    monitor: Annotated[
        str, typer.Option(help="status: monitoring ports of nodes; the first that answers is asked.")
    ] = DEFAULT_MONITOR,
    as_json: Json = False,
) -> None:
    """Run one node of a cluster until Ctrl-C, or show the nodes of a running one.

    A node is a broker and a nats-server, which holds a copy of the log. Three or more make a cluster.
    """
    if action is Action.status:
        _status(Output(as_json=as_json), monitor)
        return
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    if not name or not peers:
        raise CliError(
            "cluster start needs --name and --peers", "mq9fast cluster --help", status=Status.USAGE
        )
    try:
        output, secret = Output(as_json=as_json), _secret(secret_file)
        tls = _tls(tls_cert, tls_key, tls_ca)
        status = _start(name, peers, directory or Path(name), port, secret, settings, tls, output)
    except StartError as error:
        raise CliError(str(error)) from None
    if status:
        raise CliError("a process of the node ended: its log says why", status=Status.REFUSED)


def _secret(path: Path | None) -> str:
    if path is None:
        return os.environ.get("MQ9FAST_CLUSTER_SECRET", "")
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise CliError(f"the file {path} with the secret cannot be read: {error}") from None


def _tls(cert: Path | None, key: Path | None, ca: Path | None) -> tuple[Path, Path, Path] | None:
    if cert is None and key is None and ca is None:
        return None
    if cert is None or key is None or ca is None:
        raise CliError(
            "--tls-cert, --tls-key and --tls-ca are given together, or none of them", status=Status.USAGE
        )
    return cert, key, ca


def _start(
    name: str,
    peers: str,
    directory: Path,
    port: int,
    secret: str,
    settings: Path | None,
    tls: tuple[Path, Path, Path] | None,
    output: Output,
) -> int:
    # Imported late: `status` needs no nats-py.
    from mq9fast.cluster.node_files import NodeFiles, TlsFiles
    from mq9fast.cluster.peers import PeersError, read_peers
    from mq9fast.cluster.supervisor import Supervisor

    try:
        listed = read_peers(peers, port)
    except PeersError as error:
        raise CliError(str(error), status=Status.USAGE) from None
    me = next((peer for peer in listed if peer.name == name), None)
    if me is None:
        raise CliError(f"{name} is not one of the peers {peers}", status=Status.USAGE)
    if not me.is_local and not secret:
        raise CliError(
            "a cluster of several machines needs a secret",
            "write one to a file, copy it to each machine, and give --secret-file",
            status=Status.USAGE,
        )
    certificates = None if tls is None else TlsFiles(*tls)
    files = NodeFiles(directory.absolute(), me, listed, secret, settings, certificates)
    files.write()
    line = (
        f"node {name}: clients on nats://{me.host}:{me.client_port}, "
        f"monitoring on http://127.0.0.1:{me.monitor_port}, files in {directory}"
    )
    return asyncio.run(Supervisor(files, []).run(lambda: output.text(line)))


def _status(output: Output, monitor: str) -> None:
    errors = []
    for url in monitor.split(","):
        try:
            with urllib.request.urlopen(f"{url.strip()}/clusterz", timeout=STATUS_SECONDS) as answer:  # noqa: S310
                output.table(COLUMNS, _rows(json.load(answer)))
                return
        except (OSError, ValueError) as error:
            errors.append(f"{url}: {getattr(error, 'reason', error)}")
    raise CliError(
        f"no node answers: {'; '.join(errors)}",
        "give the monitoring port of a node, such as --monitor http://10.0.0.1:8222",
        status=Status.NO_BROKER,
    )


def _rows(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    end = max((each["applied"] for each in answer["nodes"]), default=0)
    for each in answer["nodes"]:
        urls, faults = ", ".join(each["client_urls"]), "; ".join(each["faults"])
        yield {**each, "behind": end - each["applied"], "clients": urls, "faults": faults}
