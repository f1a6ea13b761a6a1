"""/connz: TLS version and cipher suite of a connection."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.monitoring import monitor_port, read
from tests.support.nats_py import connect
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.tls_wire import TlsWire
from tests.support.websocket_client import WebWire


async def connz_of_client(broker: Broker, certificates: Certificates) -> dict[str, Any]:
    """The entry of a nats-py client on the page."""
    client = await connect(broker.url, tls=certificates.client_context(), name="secured")
    try:
        (entry,) = (await asyncio.to_thread(read, monitor_port(broker), "/connz"))["connections"]
    finally:
        await client.close()
    assert isinstance(entry, dict)
    return entry


def test_version_and_cipher(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    files = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    broker = start_broker("--monitor-port", "0", *files)
    entry = asyncio.run(connz_of_client(broker, certificates))
    assert (entry["name"], entry["lang"], entry["tls_version"]) == ("secured", "python3", "1.3")
    assert entry["tls_cipher_suite"].startswith("TLS_")
    varz = read(monitor_port(broker), "/varz")
    assert (varz["tls_required"], varz["tls_verify"]) == (True, False)


def test_websocket_clients_with_and_without_tls(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    files = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    for flags, tls in (((), None), (files, certificates.client_context()), ((*files, "--no-ws-tls"), None)):
        broker = start_broker("--monitor-port", "0", "--ws-port", "0", *flags)
        with WebWire(broker.ws_port, {"name": "page"}, tls=tls) as wire:
            wire.ping()
            (entry,) = read(monitor_port(broker), "/connz")["connections"]
            assert (entry["type"], entry["name"], entry["ip"]) == ("websocket", "page", "127.0.0.1")
            assert entry.get("tls_version", "") == ("1.3" if tls else "")
        varz = read(monitor_port(broker), "/varz")
        assert varz["websocket"] == {"host": "127.0.0.1", "port": broker.ws_port}


def test_certificate_of_a_client_is_shown_as_by_nats_server(
    start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    files = Certificates(tmp_path)
    files.sign("between", "ca", "basicConstraints=critical,CA:TRUE", "/O=Acme, Inc/CN=between")
    files.sign("agent", "between", "extendedKeyUsage=clientAuth", "/C=DE/O=Acme, Inc/OU=a/OU=b/CN=anna")
    own, between = Path(files.cert_path("agent")), Path(files.cert_path("between"))
    own.write_text(own.read_text() + between.read_text())
    cert, key, ca = files.cert_path("server"), files.key_path("server"), files.cert_path("ca")
    flags = ("--tls-cert", cert, "--tls-key", key, "--tls-ca", ca, "--tls-verify", "--monitor-port", "0")
    broker = start_broker(*flags)
    found = [shown(broker.port, monitor_port(broker), files)]
    if NATS_SERVER is not None:
        tls = f'{{cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify: true}}'
        server = NatsServer(tmp_path, {"tls": tls, "http": "127.0.0.1:-1"})
        http = re.search(r"http monitor on 127.0.0.1:(\d+)", server.log.read_text())
        assert http is not None
        try:
            found.append(shown(server.port, int(http[1]), files))
        finally:
            server.end()
    assert all(one == found[0] for one in found)
    subjects = [each["subject"] for each in found[0]]
    assert subjects == ["CN=anna,OU=a+OU=b,O=Acme\\, Inc,C=DE", "CN=between,O=Acme\\, Inc"]


def shown(port: int, http_port: int, files: Certificates) -> list[dict[str, str]]:
    """What /connz shows of the certificates that a client sent; nothing without auth."""
    with TlsWire(port, files.client_context("agent")) as wire:
        wire.ping()
        (entry,) = read(http_port, "/connz")["connections"]
        assert "tls_peer_certs" not in entry
        (entry,) = read(http_port, "/connz?auth=1")["connections"]
    certificates = entry["tls_peer_certs"]
    assert isinstance(certificates, list)
    return certificates
