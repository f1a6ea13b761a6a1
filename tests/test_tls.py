"""TLS: after INFO, with and without client certificates, and nothing in plain text before it."""

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest

from tests.harness import MAILBOX, Broker, Wire


class Certificates:
    """An authority, a server of 127.0.0.1 and localhost, a client, and a client of another authority."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._authority("ca")
        self._authority("other")
        self._signed("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self._signed("client", "ca", "extendedKeyUsage=clientAuth")
        self._signed("stranger", "other", "extendedKeyUsage=clientAuth")

    def cert(self, name: str) -> str:
        return str(self.path / f"{name}.pem")

    def key(self, name: str) -> str:
        return str(self.path / f"{name}.key")

    def context(self, client: str | None = None, authority: str = "ca") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.cert(authority))
        if client:
            context.load_cert_chain(self.cert(client), self.key(client))
        return context

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.path)

    def _authority(self, name: str) -> None:
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )

    def _signed(self, name: str, authority: str, extension: str) -> None:
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        (self.path / f"{name}.ext").write_text(extension)
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"),
            *("-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
        )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_broker(
    start_broker: Callable[..., Broker], certificates: Certificates
) -> Iterator[Callable[..., Broker]]:
    files = ("--tls-cert", certificates.cert("server"), "--tls-key", certificates.key("server"))
    return lambda *flags: start_broker(*files, *flags)


async def use_mailbox(url: str, context: ssl.SSLContext) -> None:
    """What an unmodified client does, with payloads of more than one TLS record."""
    payload = bytes(range(256)) * 1000
    client = await nats.connect(url, tls=context, allow_reconnect=False, connect_timeout=10)
    try:
        created = await client.request(f"{MAILBOX}CREATE", b'{"name":"box"}', timeout=10)
        assert "error" not in json.loads(created.data)
        for _ in range(5):
            sent = await client.request(f"{MAILBOX}MSG.box", payload, timeout=10)
            assert "msg_id" in json.loads(sent.data)
        box = await client.subscribe(f"{MAILBOX}MSG.box")
        for _ in range(5):
            assert (await box.next_msg(timeout=10)).data == payload
    finally:
        await client.close()


async def is_turned_away(url: str, context: ssl.SSLContext | None) -> bool:
    """Whether a client cannot use the broker, however it learns so."""

    async def ignore(_: Exception) -> None: ...

    try:
        client = await nats.connect(
            url, tls=context, allow_reconnect=False, connect_timeout=5, error_cb=ignore
        )
        await client.flush(5)
    except (OSError, ssl.SSLError, nats.errors.Error, asyncio.TimeoutError):
        return True
    await client.close()
    return False


def test_tls_from_end_to_end(tls_broker: Callable[..., Broker], certificates: Certificates) -> None:
    broker = tls_broker()
    url = f"tls://localhost:{broker.port}"
    asyncio.run(use_mailbox(url, certificates.context()))
    # A client that trusts another authority does not go on.
    assert asyncio.run(is_turned_away(url, certificates.context(authority="other")))
    with Wire(broker.port, None) as wire:
        assert (wire.info["tls_required"], wire.info["tls_verify"]) == (True, False)


def test_tls_can_demand_a_certificate(tls_broker: Callable[..., Broker], certificates: Certificates) -> None:
    broker = tls_broker("--tls-ca", certificates.cert("ca"), "--tls-verify")
    url = f"tls://localhost:{broker.port}"
    assert asyncio.run(is_turned_away(url, certificates.context()))
    assert asyncio.run(is_turned_away(url, certificates.context("stranger")))
    asyncio.run(use_mailbox(url, certificates.context("client")))
    with Wire(broker.port, None) as wire:
        assert wire.info["tls_verify"]


def test_plain_bytes_on_a_tls_port_get_nothing_and_harm_nobody(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--auth-timeout", "0.3")
    with Wire(broker.port, {}) as plain, Wire(broker.port, None) as silent:
        plain.send(f"SUB > 1\r\nPUB {MAILBOX}CREATE x 0\r\n\r\nPING\r\n")
        assert plain.closed(20)
        assert b"PONG" not in plain.unread
        assert b"MSG" not in plain.unread
        asyncio.run(use_mailbox(f"tls://localhost:{broker.port}", certificates.context()))
        # Nor does one stay that never begins the handshake.
        assert silent.closed(20)
    assert broker.stop() == 0


def test_a_tls_client_amid_load_at_the_stop(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    """The stop writes what is left through TLS as well, and ends."""
    broker = tls_broker()
    with socket.create_connection(("127.0.0.1", broker.port)) as plain:
        assert plain.recv(65536).startswith(b"INFO ")
        with certificates.context().wrap_socket(plain, server_hostname="localhost") as peer:
            peer.sendall(f"PUB {MAILBOX}CREATE 14\r\n".encode() + b'{"name":"box"}' + b"\r\nSUB r 1\r\n")
            peer.sendall(f"PUB {MAILBOX}MSG.box r 5\r\nhello\r\nPING\r\n".encode())
            said = b""
            while b"PONG" not in said:
                said += peer.recv(65536)
            broker.process.send_signal(signal.SIGTERM)
            while data := peer.recv(65536):
                said += data
            assert b'{"msg_id":0}' in said
    assert broker.process.wait(20) == 0
    broker._close_output()


def test_every_tls_handshake_succeeds(tls_broker: Callable[..., Broker], certificates: Certificates) -> None:
    """A hello that comes at once after INFO is never taken for plain text."""
    broker = tls_broker()
    context = certificates.context()
    for _ in range(200):
        received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer = context.wrap_bio(received, to_send, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            peer.do_handshake()
        hello = to_send.read()
        with socket.create_connection(("127.0.0.1", broker.port)) as plain:
            assert plain.recv(65536).endswith(b"}\r\n")
            plain.sendall(hello)
            received.write(plain.recv(65536))
            # SSLError says that the answer was no TLS.
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.do_handshake()


def test_nothing_is_taken_in_plain_text_before_tls(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--tls-ca", certificates.cert("ca"), "--tls-verify")
    for _ in range(100):
        with (
            socket.create_connection(("127.0.0.1", broker.port)) as plain,
            contextlib.suppress(ConnectionError),
        ):
            plain.sendall(f'PUB {MAILBOX}CREATE 17\r\n{{"name":"secret"}}\r\nPING\r\n'.encode())
            while data := plain.recv(65536):
                assert b"PONG" not in data
    with socket.create_connection(("127.0.0.1", broker.port)) as plain:
        assert plain.recv(65536)
        with certificates.context("client").wrap_socket(plain, server_hostname="localhost") as peer:
            peer.sendall(f"SUB r 1\r\nPUB {MAILBOX}LIST.secret r 0\r\n\r\n".encode())
            said = b""
            while b"}" not in said:
                said += peer.recv(65536)
            assert b"mailbox_not_found" in said


def test_what_comes_up_during_the_handshake_waits_for_its_end(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    """Neither said in the open nor dropped: a PING that nobody hears would make the connection stale."""
    broker = tls_broker("--ping-interval", "0.5", "--ping-max", "1")
    with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as plain:
        assert plain.recv(65536).endswith(b"}\r\n")
        time.sleep(0.6)
        with certificates.context().wrap_socket(plain, server_hostname="localhost") as peer:
            assert peer.recv(6) == b"PING\r\n"
            peer.sendall(b"PING\r\n")
            assert peer.recv(6) == b"PONG\r\n"
