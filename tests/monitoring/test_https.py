"""HTTPS on the monitoring port, and a base path."""

import contextlib
import itertools
import os
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broker import Broker, start_error
from tests.support.certificates import Certificates
from tests.support.configured_broker import ConfiguredBroker
from tests.support.monitoring import get, monitor_port, read
from tests.support.tls_wire import TlsWire
from tests.support.waiting import WAIT_SECONDS


def test_pages_over_https(
    start_broker: Callable[..., Broker], tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "own").mkdir()
    files = Certificates(tmp_path / "own")
    flags = [
        f"--tls-{name}={files.path / file}" for name, file in (("cert", "server.pem"), ("key", "server.key"))
    ]
    flags += [f"--tls-ca={files.cert_path('ca')}", "--tls-verify", "--monitor-port=0", "--monitor-tls"]
    configured = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "", *flags)
    (port,) = re.findall(r"monitoring on https://127.0.0.1:(\d+)", configured.broker.log.read_text())

    def page(context: ssl.SSLContext) -> bytes:
        url = f"https://localhost:{port}/varz"
        with urllib.request.urlopen(url, timeout=WAIT_SECONDS, context=context) as answer:
            body: bytes = answer.read()
        return body

    # No client certificate is asked for, though clients of the broker need one.
    assert f'"https_port":{port}'.encode() in page(files.client_context())
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/varz", timeout=WAIT_SECONDS)
    with pytest.raises(urllib.error.URLError):
        page(certificates.client_context())
    # A reload reads the certificate again.
    for name in ("server.pem", "server.key"):
        (files.path / name).write_bytes((certificates.path / name).read_bytes())
    configured.reload("")
    assert page(certificates.client_context())


def test_a_certificate_that_only_the_monitoring_port_cannot_use(
    start_broker: Callable[..., Broker], tmp_path: Path, certificates: Certificates
) -> None:
    """The file changes between the two times that a reload reads it: nothing is reloaded."""
    cert, good = tmp_path / "cert.pem", (certificates.path / "server.pem").read_bytes()
    cert.write_bytes(good)
    flags = ("--tls-cert", str(cert), "--tls-key", certificates.key_path("server"), "--monitor-tls")
    configured = ConfiguredBroker(
        start_broker, tmp_path / "mq9.toml", "", *flags, "--monitor-port=0", "--tls-handshake-first=off"
    )
    cert.unlink()
    os.mkfifo(cert)
    done = threading.Event()

    def serve_file() -> None:
        for content in itertools.chain([good], itertools.repeat(b"no certificate")):
            with contextlib.suppress(BrokenPipeError), cert.open("wb") as pipe:
                if done.is_set():
                    return
                pipe.write(content)

    writer = threading.Thread(target=serve_file, daemon=True)
    writer.start()
    with TlsWire(configured.port, certificates.client_context()) as before:
        configured.reload("max_payload = 1024\n", "reload failed, settings unchanged: the TLS files")
        before.ping()
    with TlsWire(configured.port, certificates.client_context()) as wire:
        assert wire.info["max_payload"] == 2**20
    done.set()
    os.close(os.open(cert, os.O_RDONLY | os.O_NONBLOCK))
    writer.join(WAIT_SECONDS)


def test_base_path(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--monitor-port", "0", "--monitor-base-path", "/brokers/one")
    port = monitor_port(broker)
    assert read(port, "/brokers/one/varz")["http_base_path"] == "/brokers/one"
    assert read(port, "/brokers/one/varz")["http_req_stats"]["/varz"] == 2
    for path in ("/brokers/one", "/brokers/one/"):
        assert b'href="/brokers/one/varz"' in get(port, path)[2]
    for path in ("/varz", "/", "/brokers/onevarz", "/brokers/two/varz"):
        status, _, body = get(port, path)
        assert (status, b"/brokers/one/varz" in body) == (404, True)
    for path in ("//brokers/one/varz?a=1", "/brokers//one//varz?a=1"):
        assert get(port, path)[0] == 307
        address = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(address + path, timeout=WAIT_SECONDS) as answer:
            assert answer.url == address + "/brokers/one/varz?a=1"
    assert get(port, "//brokers/one/%0d%0ax")[0] == 404


@pytest.mark.parametrize("path", ["x", "/", "/a/", "/a b", "/a?b", "/../a b"])
def test_wrong_base_path(path: str) -> None:
    assert "is not a path such as /broker1" in start_error("--monitor-base-path", path)
