"""TLS: after INFO, with and without client certificates, and nothing in plain text before it."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import MAILBOX, Wire, read_to_the_end


@pytest.fixture
def tls_broker(
    start_broker: Callable[..., Broker], certificates: Certificates
) -> Iterator[Callable[..., Broker]]:
    files = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    return lambda *flags: start_broker(*files, "--auth-timeout", "600", *flags)


async def use_mailbox(url: str, context: ssl.SSLContext, name: str = "box", **options: Any) -> None:
    """Use a mailbox with an unmodified client. The payloads need more than one TLS record."""
    payload = bytes(range(256)) * 1000
    client = await connect(url, tls=context, allow_reconnect=False, **options)
    try:
        created = await client.request(f"{MAILBOX}CREATE", json.dumps({"name": name}).encode())
        assert "error" not in json.loads(created.data)
        for _ in range(5):
            sent = await client.request(f"{MAILBOX}MSG.{name}", payload)
            assert "msg_id" in json.loads(sent.data)
        box = await client.subscribe(f"{MAILBOX}MSG.{name}")
        for _ in range(5):
            assert (await box.next_msg(WAIT_SECONDS)).data == payload
    finally:
        await client.close()


async def is_refused(url: str, context: ssl.SSLContext | None) -> bool:
    """Whether a client cannot use the broker, whatever error it raises."""

    async def ignore(_: Exception) -> None: ...

    try:
        client = await connect(url, tls=context, allow_reconnect=False, connect_timeout=5, error_cb=ignore)
        await client.flush(5)
    except (OSError, ssl.SSLError, nats.errors.Error, asyncio.TimeoutError):
        return True
    await client.close()
    return False


def test_client_uses_a_mailbox_over_tls(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker()
    url = f"tls://localhost:{broker.port}"
    asyncio.run(use_mailbox(url, certificates.client_context()))
    # A client that trusts another authority ends the handshake.
    assert asyncio.run(is_refused(url, certificates.client_context(authority="other")))
    with Wire(broker.port, None) as wire:
        assert wire.info["tls_required"] is True
        assert "tls_verify" not in wire.info


def test_tls_verify_requires_a_client_certificate(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--tls-ca", certificates.cert_path("ca"), "--tls-verify")
    url = f"tls://localhost:{broker.port}"
    assert asyncio.run(is_refused(url, certificates.client_context()))
    assert asyncio.run(is_refused(url, certificates.client_context("stranger")))
    asyncio.run(use_mailbox(url, certificates.client_context("client")))
    with Wire(broker.port, None) as wire:
        assert wire.info["tls_verify"]


def test_plain_and_silent_clients_on_a_tls_port_are_closed(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--auth-timeout", "2")
    with Wire(broker.port, {}) as plain, Wire(broker.port, None) as silent:
        plain.send(f"SUB > 1\r\nPUB {MAILBOX}CREATE x 0\r\n\r\nPING\r\n")
        assert plain.closed()
        assert b"PONG" not in plain.unread
        assert b"MSG" not in plain.unread
        asyncio.run(use_mailbox(f"tls://localhost:{broker.port}", certificates.client_context()))
        # A client that does not begin the handshake is closed as well.
        assert silent.closed()
    assert broker.stop() == 0


def test_stop_sends_pending_replies_through_tls(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    """The stop sends pending replies before it closes the TLS connection."""
    broker = tls_broker()
    with socket.create_connection(("127.0.0.1", broker.port)) as plain:
        assert plain.recv(65536).startswith(b"INFO ")
        with certificates.client_context().wrap_socket(plain, server_hostname="localhost") as peer:
            peer.sendall(f"PUB {MAILBOX}CREATE 14\r\n".encode() + b'{"name":"box"}' + b"\r\nSUB r 1\r\n")
            peer.sendall(f"PUB {MAILBOX}MSG.box r 5\r\nhello\r\nPING\r\n".encode())
            received = b""
            while b"PONG" not in received:
                received += peer.recv(65536)
            broker.process.send_signal(signal.SIGTERM)
            while data := peer.recv(65536):
                received += data
            assert b'{"msg_id":0}' in received
    assert broker.process.wait(WAIT_SECONDS) == 0
    broker._close_output()


def test_client_hello_right_after_info_starts_tls(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    """The broker never takes a hello that arrives at once after INFO for plain text."""
    broker = tls_broker()
    context = certificates.client_context()
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
            # SSLError would mean that the answer was not TLS.
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.do_handshake()


def test_operations_in_plain_text_before_tls_are_ignored(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--tls-ca", certificates.cert_path("ca"), "--tls-verify")
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
        with certificates.client_context("client").wrap_socket(plain, server_hostname="localhost") as peer:
            peer.sendall(f"SUB r 1\r\nPUB {MAILBOX}LIST.secret r 0\r\n\r\n".encode())
            received = b""
            while b"}" not in received:
                received += peer.recv(65536)
            assert b"mailbox_not_found" in received


def test_pings_wait_for_the_end_of_the_handshake(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    """PING is neither sent in plain text nor lost, and counts as unanswered only after the handshake."""
    broker = tls_broker("--ping-interval", "1", "--ping-max", "1", "--auth-timeout", "60")
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as plain:
        assert plain.recv(65536).endswith(b"}\r\n")
        time.sleep(2.5)
        with certificates.client_context().wrap_socket(plain, server_hostname="localhost") as peer:
            assert peer.recv(6) == b"PING\r\n"
            peer.sendall(b"PING\r\n")
            while (line := peer.recv(6)) == b"PING\r\n":
                pass
            assert line == b"PONG\r\n"


# TLS before INFO.


@pytest.mark.parametrize("first", ["on", "auto"])
def test_tls_can_come_before_info(
    tls_broker: Callable[..., Broker], certificates: Certificates, first: str
) -> None:
    broker = tls_broker("--tls-handshake-first", first)
    url = f"tls://localhost:{broker.port}"
    asyncio.run(use_mailbox(url, certificates.client_context(), tls_handshake_first=True))
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as plain,
        certificates.client_context().wrap_socket(plain, server_hostname="localhost") as peer,
    ):
        assert peer.recv(65536).startswith(b'INFO {"server_id"')
        peer.sendall(b"PING\r\n")
        assert peer.recv(65536) == b"PONG\r\n"
    assert broker.stop() == 0


def test_auto_accepts_tls_before_and_after_info(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker(
        "--tls-handshake-first", "auto", "--tls-ca", certificates.cert_path("ca"), "--tls-verify"
    )
    url = f"tls://localhost:{broker.port}"
    for n, first in enumerate((True, False, True)):
        context = certificates.client_context("client")
        asyncio.run(use_mailbox(url, context, name=f"box.{n}", tls_handshake_first=first))
    assert asyncio.run(is_refused(url, certificates.client_context("stranger")))


@pytest.mark.parametrize("first", ["off", "on", "auto"])
def test_lame_duck_does_not_wait_for_handshakes(
    tls_broker: Callable[..., Broker], certificates: Certificates, first: str
) -> None:
    broker = tls_broker("--tls-handshake-first", first, "--auth-timeout", "600", "--lame-duck-duration", "0")
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as silent:
        time.sleep(0.2)
        broker.process.send_signal(signal.SIGUSR2)
        while silent.recv(65536):
            pass
        assert broker.process.wait(WAIT_SECONDS) == 0
        broker._close_output()


def test_max_connections_error_has_no_info_if_tls_comes_first(
    tls_broker: Callable[..., Broker],
) -> None:
    broker = tls_broker("--max-connections", "1", "--tls-handshake-first", "on")
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS),
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as refused,
    ):
        assert refused.recv(65536) == b"-ERR 'maximum connections exceeded'\r\n"
        assert refused.recv(65536) == b""


def test_tls_handshakes_count_as_connections(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--max-connections", "2", "--auth-timeout", "3")
    silent = [Wire(broker.port, None) for _ in range(2)]
    with Wire(broker.port, None) as refused:
        assert refused.closed()
        assert refused.unread == b"-ERR 'maximum connections exceeded'\r\n"
    for wire in silent:
        assert wire.closed()
        wire.close()
    asyncio.run(use_mailbox(f"tls://localhost:{broker.port}", certificates.client_context()))


# TLS versions, and the end of TLS connections.


def connect_tls(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection that has read INFO and sent CONNECT."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
    plain.recv(65536)
    peer = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
    peer.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
    return peer


@pytest.mark.parametrize(
    ("version", "accepted"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
def test_tls_1_2_or_later_is_required(
    tls_broker: Callable[..., Broker], certificates: Certificates, version: ssl.TLSVersion, accepted: bool
) -> None:
    broker = tls_broker()
    context = certificates.client_context()
    # OpenSSL itself would not offer old versions.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if accepted:
        with connect_tls(broker.port, context) as peer:
            peer.sendall(b"PING\r\n")
            assert peer.recv(6) == b"PONG\r\n"
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect_tls(broker.port, context)
    assert broker.stop() == 0


def test_error_arrives_through_tls_after_all_messages(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker()
    payload = b"x" * 1000
    with connect_tls(broker.port, certificates.client_context()) as peer:
        peer.sendall(b"SUB a 1\r\n" + b"PUB a 1000\r\n%s\r\n" % payload * 500 + b"PUB a 9999999\r\n")
        received = read_to_the_end(peer)
    message = b"MSG a 1 1000\r\n%s\r\n" % payload
    assert received == message * 500 + b"-ERR 'Maximum Payload Violation'\r\n"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGUSR2])
def test_stop_sends_unread_messages_through_tls(
    tls_broker: Callable[..., Broker], certificates: Certificates, sign: int
) -> None:
    """There are more bytes than the socket accepts at once. All arrive, followed by close_notify."""
    broker = tls_broker("--lame-duck-duration", "0")
    count = 1500
    with (
        connect_tls(broker.port, certificates.client_context()) as reader,
        connect_tls(broker.port, certificates.client_context()) as sender,
    ):
        reader.sendall(b"SUB a 1\r\nPING\r\n")
        assert reader.recv(6) == b"PONG\r\n"
        sender.sendall(b"PUB a 1000\r\n%s\r\n" % (b"x" * 1000) * count + b"PING\r\n")
        assert sender.recv(6) == b"PONG\r\n"
        broker.process.send_signal(sign)
        time.sleep(0.3)
        received = read_to_the_end(reader)
    assert received.count(b"MSG a 1 1000\r\n") == count
    assert broker.process.wait(WAIT_SECONDS) == 0
    broker._close_output()


def test_slow_subscriber_receives_all_of_a_mailbox_through_tls(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--sync", "never", "--max-pending", "100000", "--write-deadline", "0.3")
    count = 5000
    frame = f"PUB {MAILBOX}MSG.box 1000\r\n".encode() + b"x" * 1000 + b"\r\n"
    with (
        connect_tls(broker.port, certificates.client_context()) as sender,
        connect_tls(broker.port, certificates.client_context()) as reader,
    ):
        sender.sendall(f'PUB {MAILBOX}CREATE 14\r\n{{"name":"box"}}\r\n'.encode() + frame * count)
        sender.sendall(b"PING\r\n")
        assert sender.recv(6) == b"PONG\r\n"
        reader.sendall(f"SUB {MAILBOX}MSG.box 1\r\n".encode())
        time.sleep(1.5)
        received = bytearray()
        while received.count(b" $mq9.AI.MAILBOX.DELETE.") < count:
            received += reader.recv(65536)
    assert [int(found) for found in re.findall(rb"DELETE\.box\.(\d+) ", received)] == list(range(count))


# Failed handshakes, and stale connections.

# A TLS record with an unknown handshake message, and a hello of SSL 3.0.
NONSENSE = b"\x16\x03\x01\x00\x05hello"
OLD_HELLO = bytes.fromhex("160300002f0100002b0300") + bytes(32) + bytes.fromhex("000004003500050100")


@pytest.mark.parametrize("first", ["off", "on", "auto"])
@pytest.mark.parametrize("hello", [NONSENSE, OLD_HELLO], ids=["nonsense", "SSL 3.0"])
def test_failed_handshake_ends_with_an_alert(
    tls_broker: Callable[..., Broker], first: str, hello: bytes
) -> None:
    broker = tls_broker("--tls-handshake-first", first)
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as peer:
        if first == "off":
            peer.recv(65536)
        peer.sendall(hello)
        received = read_to_the_end(peer)
    # A fatal alert, in any version.
    assert re.fullmatch(rb"\x15\x03.\x00\x02\x02.", received, re.DOTALL), received


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", [None, "stranger"])
def test_client_with_a_bad_certificate_gets_an_alert(
    tls_broker: Callable[..., Broker],
    certificates: Certificates,
    name: str | None,
    version: ssl.TLSVersion,
) -> None:
    broker = tls_broker("--tls-ca", certificates.cert_path("ca"), "--tls-verify")
    context = certificates.client_context(name)
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as plain:
        plain.recv(65536)
        with (
            pytest.raises(ssl.SSLError, match="ALERT"),
            context.wrap_socket(plain, server_hostname="localhost") as peer,
        ):
            peer.recv(1)


def test_stale_connection_closes_without_waiting_for_close_notify(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    """The broker closes without the client's close_notify. The fastest of three attempts counts."""
    broker = tls_broker("--ping-interval", "0.3", "--ping-max", "1")
    waited = []
    for _ in range(3):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certificates.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as raw:
            raw.recv(65536)
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(65536))
                else:
                    break
            raw.sendall(outgoing.read())
            heard = time.monotonic()
            while data := raw.recv(65536):
                incoming.write(data)
                heard = time.monotonic()
            waited.append(time.monotonic() - heard)
            received = b""
            with contextlib.suppress(ssl.SSLZeroReturnError):
                while more := tls.read(65536):
                    received += more
            assert received == b"PING\r\n-ERR 'Stale Connection'\r\n"
    assert min(waited) < 1.5


@pytest.mark.parametrize("by", ["flag", "file"])
def test_non_ascii_tls_files_work_in_the_c_locale(
    start_broker: Callable[..., Broker], certificates: Certificates, tmp_path: Path, by: str
) -> None:
    cert, key = tmp_path / "zertifik\u00e4t.pem", tmp_path / "schl\u00fcssel.key"
    cert.write_bytes(Path(certificates.cert_path("server")).read_bytes())
    key.write_bytes(Path(certificates.key_path("server")).read_bytes())
    flags = ["--tls-cert", str(cert), "--tls-key", str(key)]
    if by == "file":
        config = tmp_path / "config.toml"
        config.write_text(f'tls_cert = "{cert}"\ntls_key = "{key}"\n', encoding="utf-8")
        flags = ["--config", str(config)]
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    broker = start_broker(*flags, env=env)
    asyncio.run(use_mailbox(f"tls://localhost:{broker.port}", certificates.client_context()))
