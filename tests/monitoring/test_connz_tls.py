"""/connz: TLS version and cipher suite of a connection."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.monitoring import monitor_port, read
from tests.support.nats_py import connect
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
