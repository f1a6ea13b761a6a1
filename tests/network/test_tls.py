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
from typing import Any

import nats
import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import MAILBOX, Wire


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_broker(
    start_broker: Callable[..., Broker], certificates: Certificates
) -> Iterator[Callable[..., Broker]]:
    files = ("--tls-cert", certificates.cert("server"), "--tls-key", certificates.key("server"))
    return lambda *flags: start_broker(*files, "--auth-timeout", "600", *flags)


async def use_mailbox(url: str, context: ssl.SSLContext, name: str = "box", **options: Any) -> None:
    """What an unmodified client does, with payloads of more than one TLS record."""
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


async def is_turned_away(url: str, context: ssl.SSLContext | None) -> bool:
    """Whether a client cannot use the broker, however it learns so."""

    async def ignore(_: Exception) -> None: ...

    try:
        client = await connect(url, tls=context, allow_reconnect=False, connect_timeout=5, error_cb=ignore)
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
        assert wire.info["tls_required"] is True
        assert "tls_verify" not in wire.info


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
    broker = tls_broker("--auth-timeout", "2")
    with Wire(broker.port, {}) as plain, Wire(broker.port, None) as silent:
        plain.send(f"SUB > 1\r\nPUB {MAILBOX}CREATE x 0\r\n\r\nPING\r\n")
        assert plain.closed()
        assert b"PONG" not in plain.unread
        assert b"MSG" not in plain.unread
        asyncio.run(use_mailbox(f"tls://localhost:{broker.port}", certificates.context()))
        # Nor does one stay that never begins the handshake.
        assert silent.closed()
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
    assert broker.process.wait(WAIT_SECONDS) == 0
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
    """Neither said in the open nor dropped; and nobody is pinged who cannot answer yet."""
    broker = tls_broker("--ping-interval", "1", "--ping-max", "1", "--auth-timeout", "60")
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as plain:
        assert plain.recv(65536).endswith(b"}\r\n")
        time.sleep(2.5)
        with certificates.context().wrap_socket(plain, server_hostname="localhost") as peer:
            assert peer.recv(6) == b"PING\r\n"
            peer.sendall(b"PING\r\n")
            while (line := peer.recv(6)) == b"PING\r\n":
                pass
            assert line == b"PONG\r\n"


# TLS before INFO.


@pytest.mark.parametrize("first", ["on", "auto"])
def test_tls_may_come_before_info(
    tls_broker: Callable[..., Broker], certificates: Certificates, first: str
) -> None:
    broker = tls_broker("--tls-handshake-first", first)
    url = f"tls://localhost:{broker.port}"
    asyncio.run(use_mailbox(url, certificates.context(), tls_handshake_first=True))
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as plain,
        certificates.context().wrap_socket(plain, server_hostname="localhost") as peer,
    ):
        assert peer.recv(65536).startswith(b'INFO {"server_id"')
        peer.sendall(b"PING\r\n")
        assert peer.recv(65536) == b"PONG\r\n"
    assert broker.stop() == 0


def test_auto_takes_each_client_as_it_comes(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--tls-handshake-first", "auto", "--tls-ca", certificates.cert("ca"), "--tls-verify")
    url = f"tls://localhost:{broker.port}"
    for n, first in enumerate((True, False, True)):
        context = certificates.context("client")
        asyncio.run(use_mailbox(url, context, name=f"box.{n}", tls_handshake_first=first))
    assert asyncio.run(is_turned_away(url, certificates.context("stranger")))


@pytest.mark.parametrize("first", ["off", "on", "auto"])
def test_a_lame_duck_and_a_stop_wait_for_no_handshake(
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


def test_past_max_connections_the_reason_comes_without_info_where_tls_comes_first(
    tls_broker: Callable[..., Broker],
) -> None:
    broker = tls_broker("--max-connections", "1", "--tls-handshake-first", "on")
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS),
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as refused,
    ):
        assert refused.recv(65536) == b"-ERR 'maximum connections exceeded'\r\n"
        assert refused.recv(65536) == b""


def test_handshakes_count_as_connections(
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
    asyncio.run(use_mailbox(f"tls://localhost:{broker.port}", certificates.context()))


# What TLS itself has to hold.


def connect_tls(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection that has read INFO and said CONNECT."""
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
def test_tls_versions(
    tls_broker: Callable[..., Broker], certificates: Certificates, version: ssl.TLSVersion, accepted: bool
) -> None:
    broker = tls_broker()
    context = certificates.context()
    # What OpenSSL itself would not offer any more.
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


def read_to_the_end(peer: ssl.SSLSocket) -> bytes:
    """All that comes until close_notify; SSLEOFError if the connection ends without it."""
    said = bytearray()
    while data := peer.recv(65536):
        said += data
    return bytes(said)


def test_last_words_come_through_tls_behind_all_that_was_written(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker()
    payload = b"x" * 1000
    with connect_tls(broker.port, certificates.context()) as peer:
        peer.sendall(b"SUB a 1\r\n" + b"PUB a 1000\r\n%s\r\n" % payload * 500 + b"PUB a 9999999\r\n")
        said = read_to_the_end(peer)
    message = b"MSG a 1 1000\r\n%s\r\n" % payload
    assert said == message * 500 + b"-ERR 'Maximum Payload Violation'\r\n"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGUSR2])
def test_a_stop_hands_over_through_tls_what_a_reader_has_yet_to_take(
    tls_broker: Callable[..., Broker], certificates: Certificates, sign: int
) -> None:
    """More than its socket takes at once: nothing of it is cut short, and close_notify ends it."""
    broker = tls_broker("--lame-duck-duration", "0")
    count = 1500
    with (
        connect_tls(broker.port, certificates.context()) as reader,
        connect_tls(broker.port, certificates.context()) as sender,
    ):
        reader.sendall(b"SUB a 1\r\nPING\r\n")
        assert reader.recv(6) == b"PONG\r\n"
        sender.sendall(b"PUB a 1000\r\n%s\r\n" % (b"x" * 1000) * count + b"PING\r\n")
        assert sender.recv(6) == b"PONG\r\n"
        broker.process.send_signal(sign)
        time.sleep(0.3)
        said = read_to_the_end(reader)
    assert said.count(b"MSG a 1 1000\r\n") == count
    assert broker.process.wait(WAIT_SECONDS) == 0
    broker._close_output()


def test_a_slow_reader_through_tls_gets_all_of_a_mailbox(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    broker = tls_broker("--sync", "never", "--max-pending", "100000", "--write-deadline", "0.3")
    count = 5000
    frame = f"PUB {MAILBOX}MSG.box 1000\r\n".encode() + b"x" * 1000 + b"\r\n"
    with (
        connect_tls(broker.port, certificates.context()) as sender,
        connect_tls(broker.port, certificates.context()) as reader,
    ):
        sender.sendall(f'PUB {MAILBOX}CREATE 14\r\n{{"name":"box"}}\r\n'.encode() + frame * count)
        sender.sendall(b"PING\r\n")
        assert sender.recv(6) == b"PONG\r\n"
        reader.sendall(f"SUB {MAILBOX}MSG.box 1\r\n".encode())
        time.sleep(1.5)
        said = bytearray()
        while said.count(b" $mq9.AI.MAILBOX.DELETE.") < count:
            said += reader.recv(65536)
    assert [int(found) for found in re.findall(rb"DELETE\.box\.(\d+) ", said)] == list(range(count))


# How a handshake, and a connection, ends.

# A record of TLS with a handshake message that there is none of, and a hello of SSL 3.0.
NONSENSE = b"\x16\x03\x01\x00\x05hello"
OLD_HELLO = bytes.fromhex("160300002f0100002b0300") + bytes(32) + bytes.fromhex("000004003500050100")


@pytest.mark.parametrize("first", ["off", "on", "auto"])
@pytest.mark.parametrize("hello", [NONSENSE, OLD_HELLO], ids=["nonsense", "SSL 3.0"])
def test_a_handshake_that_fails_ends_with_an_alert(
    tls_broker: Callable[..., Broker], first: str, hello: bytes
) -> None:
    broker = tls_broker("--tls-handshake-first", first)
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as peer:
        if first == "off":
            peer.recv(65536)
        peer.sendall(hello)
        said = b""
        while more := peer.recv(65536):
            said += more
    # A fatal alert, in whatever version.
    assert re.fullmatch(rb"\x15\x03.\x00\x02\x02.", said, re.DOTALL), said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", [None, "stranger"])
def test_a_client_hears_what_is_wrong_with_its_certificate(
    tls_broker: Callable[..., Broker],
    certificates: Certificates,
    name: str | None,
    version: ssl.TLSVersion,
) -> None:
    broker = tls_broker("--tls-ca", certificates.cert("ca"), "--tls-verify")
    context = certificates.context(name)
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as plain:
        plain.recv(65536)
        with (
            pytest.raises(ssl.SSLError, match="ALERT"),
            context.wrap_socket(plain, server_hostname="localhost") as peer,
        ):
            peer.recv(1)


def test_a_stale_connection_closes_at_once(
    tls_broker: Callable[..., Broker], certificates: Certificates
) -> None:
    """It does not wait for the client to answer the end of TLS. The quickest of three tells."""
    broker = tls_broker("--ping-interval", "0.3", "--ping-max", "1")
    waited = []
    for _ in range(3):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certificates.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
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
            said = b""
            with contextlib.suppress(ssl.SSLZeroReturnError):
                while more := tls.read(65536):
                    said += more
            assert said == b"PING\r\n-ERR 'Stale Connection'\r\n"
    assert min(waited) < 1.5
