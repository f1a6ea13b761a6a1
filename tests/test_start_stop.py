"""How a broker comes up, why it does not, and how it ends."""

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from rocksdict import Options, Rdict

from mq9fast.version import VERSION
from tests.fault.load import Watcher, Writer, publish_many, read_stored
from tests.harness import MAILBOX, Broker, Wire, wait_until

START_SECONDS = 30.0
STDOUT_LINE = re.compile(rf"mq9fast {re.escape(VERSION)} listening on nats://127\.0\.0\.1:(\d+)\n")
CONSOLE_SCRIPT = Path(sys.executable).with_name("mq9fast")


def run(
    *arguments: str | Path, command: tuple[str | Path, ...] = (sys.executable, "-m", "mq9fast"), **env: str
):
    """Run a broker that is expected to end by itself."""
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        env={**os.environ, "MQ9FAST_PORT": "0", "MQ9FAST_MONITOR_PORT": "-1", **env},
    )


def refused(*arguments: str | Path, **env: str) -> str:
    """The one sentence that a broker says instead of starting."""
    done = run(*arguments, **env)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert re.fullmatch(r"mq9fast: .+\n", done.stderr), done.stderr
    return done.stderr


def accepts_nobody(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) != 0


# It starts.


@pytest.mark.parametrize(
    "command", [(sys.executable, "-m", "mq9fast"), (CONSOLE_SCRIPT,)], ids=["-m", "script"]
)
def test_one_line_on_stdout_says_where_it_serves(command: tuple[str | Path, ...], tmp_path: Path) -> None:
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "--port", "0", "--monitor-port", "-1", "--data-dir", tmp_path / "made" / "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert select.select([process.stdout], [], [], START_SECONDS)[0]
        found = STDOUT_LINE.fullmatch(process.stdout.readline())
        assert found
        with Wire(int(found[1])) as wire:
            assert wire.info["port"] == int(found[1])
            wire.ping()
        # About 0.2 s on an idle machine.
        assert time.monotonic() - began < 10
    finally:
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "command", [(sys.executable, "-m", "mq9fast"), (CONSOLE_SCRIPT,)], ids=["-m", "script"]
)
def test_help_and_version_need_no_broker(command: tuple[str | Path, ...]) -> None:
    version = run("--version", command=command)
    assert (version.returncode, version.stdout, version.stderr) == (0, f"mq9fast {VERSION}\n", "")
    told = run("--help", command=command)
    assert (told.returncode, told.stderr) == (0, "")
    for flag in ("--port", "--data-dir", "--sync", "--max-payload", "--tls-cert", "--log-level"):
        assert flag in told.stdout
    assert "default: 4222" in told.stdout


def test_settings_come_from_the_file_too(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    config = tmp_path / "mq9fast.toml"
    config.write_text('server_name = "from the file"\nmax_payload = 1234\n')
    broker = start_broker("--config", str(config), env={"MQ9FAST_MAX_PAYLOAD": "4321"})
    with Wire(broker.port) as wire:
        assert (wire.info["server_name"], wire.info["max_payload"]) == ("from the file", 4321)


def test_listening_to_the_world_without_auth_is_warned_about(start_broker: Callable[..., Broker]) -> None:
    warning = "listening on 0.0.0.0 without authentication"
    open_to_all = start_broker("--host", "0.0.0.0")
    wait_until(lambda: warning in open_to_all.log.read_text())
    assert "WARNING" in open_to_all.log.read_text()
    for flags in (("--host", "0.0.0.0", "--token", "secret"), ("--host", "127.0.0.1")):
        assert start_broker(*flags).log.read_text() == ""


# It does not start.


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        sentence = refused("--port", port, "--data-dir", tmp_path / "data")
    assert port in sentence
    assert "in use" in sentence
    # What it opened before it knew is closed again.
    Broker(tmp_path / "data").end()


def test_a_host_that_is_not_ours_is_named(tmp_path: Path) -> None:
    assert "192.0.2.1" in refused("--host", "192.0.2.1", "--data-dir", tmp_path / "data")


def test_a_data_directory_in_use_is_named(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    sentence = refused("--data-dir", broker.data_dir)
    assert str(broker.data_dir) in sentence
    assert "in use by another broker" in sentence
    with Wire(broker.port) as wire:
        assert wire.create(name="unharmed")["is_new"]


def test_a_newer_format_is_refused_and_left_alone(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
    broker.stop()

    def set_format(change: int) -> None:
        store = Rdict(str(broker.data_dir), Options(raw_mode=True))
        store[b"v"] = (int.from_bytes(store[b"v"], "big") + change).to_bytes(8, "big")
        store.close()

    set_format(1)
    sentence = refused("--data-dir", broker.data_dir)
    assert str(broker.data_dir) in sentence
    assert "format 2" in sentence
    set_format(-1)
    broker.start()
    with Wire(broker.port) as wire:
        assert not wire.create(name="box")["is_new"]


def test_an_unusable_data_directory_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    assert str(file) in refused("--data-dir", file)
    assert str(file) in refused("--data-dir", file / "below")
    if Path("/proc").is_dir():  # where nobody can make a directory, not even root
        assert "/proc/mq9fast" in refused("--data-dir", "/proc/mq9fast")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_without_permission_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    assert str(closed) in refused("--data-dir", closed)


def test_a_data_directory_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("this is no store")
    assert str(tmp_path) in refused("--data-dir", tmp_path)


def test_an_unreadable_config_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    data = ("--data-dir", tmp_path / "data")
    assert str(config) in refused("--config", config, *data)
    for text, culprit in (
        ("port = ", str(config)),
        ("colour = 'blue'\n", "colour"),
        ("port = 'blue'\n", "port"),
        ("sync = 'sometimes'\n", "sync"),
    ):
        config.write_text(text)
        assert culprit in refused("--config", config, *data)
    config.write_bytes(b"\xff\xfe")
    assert str(config) in refused("--config", config, *data)
    assert str(tmp_path) in refused("--config", tmp_path, *data)
    assert not (tmp_path / "data").exists()


def test_wrong_flags_and_variables_are_named(tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    assert "--colour" in refused("--colour", "blue", *data)
    assert "--port" in refused("--port", "99999", *data)
    assert "MQ9FAST_SYNC" in refused(*data, MQ9FAST_SYNC="sometimes")
    assert "hunter2" not in refused("--token", "hunter2\n", *data)


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    assert str(missing) in refused(
        "--tls-cert", missing, "--tls-key", missing, "--data-dir", tmp_path / "data"
    )
    (tmp_path / "empty.pem").touch()
    empty = tmp_path / "empty.pem"
    assert str(empty) in refused("--tls-cert", empty, "--tls-key", empty, "--data-dir", tmp_path / "data")


# It ends.


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("sync", ["always", "never"])
def test_a_stop_amid_load_keeps_every_promise(
    start_broker: Callable[..., Broker], sign: int, sync: str
) -> None:
    broker = start_broker("--sync", sync)
    with Wire(broker.port) as wire:
        wire.create(name="box")
    writers = [Writer(broker.port, f"w{n}", ["box"], seed=n) for n in range(3)]
    watcher = Watcher(broker.port, ["box"])
    threads = [watcher, *writers]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert broker.stop(sign) == 0
    for thread in threads:
        thread.join(20)
    broker.start()
    stored = read_stored(broker.port, "box")
    for writer in writers:
        assert not writer.trouble, writer.trouble
        assert writer.acknowledged
        for (_, msg_id), payload in writer.acknowledged.items():
            assert stored.get(msg_id) == payload or ("box", msg_id) in writer.maybe_deleted
        assert not {msg_id for _, msg_id in writer.deleted} & stored.keys()
    maybe_deleted = {msg_id for writer in writers for _, msg_id in writer.maybe_deleted}
    assert {msg_id for _, msg_id in watcher.seen} <= stored.keys() | maybe_deleted


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_what_it_has_read_is_stored_and_answered_before_it_ends(
    start_broker: Callable[..., Broker], sign: int
) -> None:
    broker = start_broker("--sync", "always")
    count = 20_000
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.sub("answers", "1")
        publish_many(wire, "box", count, b"x" * 100)
        wire.pub(f"{MAILBOX}MSG.box", "last", reply="answers")
        # PONG says that the broker has read it; it answers whatever is durable, now or on its way out.
        wire.send("PING\r\n")
        while b"PONG\r\n" not in wire.unread:
            wire.fill(20)
        answers = wire.unread.count(b"msg_id")
        status = []
        ending = threading.Thread(target=lambda: status.append(broker.stop(sign)))
        ending.start()
        assert wire.closed(20)
        ending.join(30)
        assert status == [0]
        assert wire.unread.count(b'{"msg_id":%d}' % count) == 1 >= answers
    broker.start()
    stored = read_stored(broker.port, "box")
    assert len(stored) == count + 1
    assert stored[count] == b"last"


def test_a_stopped_broker_refuses_new_connections_and_can_start_again(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker()
    port = broker.port
    with Wire(port) as wire:
        assert broker.stop() == 0
        assert wire.closed()
    assert accepts_nobody(port)
    for _ in range(2):
        broker.flags = ("--port", str(port), *broker.flags[2:])
        broker.start()
        assert broker.port == port
        # Killed amid connections, the port and the directory are free at once.
        with Wire(port) as wire:
            wire.ping()
            broker.kill()
    broker.start()


def test_a_client_that_does_not_read_does_not_keep_it_from_ending(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--sync", "never")
    with Wire(broker.port, receive_bytes=65536) as stuck, Wire(broker.port) as wire:
        wire.create(name="box")
        stuck.read_along("box")
        publish_many(wire, "box", 50_000, b"x" * 1000)
        began = time.monotonic()
        assert broker.stop() == 0
        assert time.monotonic() - began < 15


def test_a_second_interrupt_ends_it_at_once(start_broker: Callable[..., Broker]) -> None:
    """The first one waits for a client that does not read; the second does not."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port, receive_bytes=65536) as stuck, Wire(broker.port) as wire:
        wire.create(name="box")
        stuck.read_along("box")
        publish_many(wire, "box", 50_000, b"x" * 1000)
        broker.process.send_signal(signal.SIGINT)
        assert wire.closed()
        assert broker.process.poll() is None
        broker.process.send_signal(signal.SIGINT)
        assert broker.process.wait(1) == 1
        broker._close_output()
    broker.start()
    assert len(read_stored(broker.port, "box")) == 50_000


def test_a_lame_duck_tells_its_clients_and_closes_them_one_by_one(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--lame-duck-duration", "0.8")
    clients = [Wire(broker.port) for _ in range(4)]
    try:
        for client in clients:
            assert not client.info.get("ldm")
            client.ping()
        broker.process.send_signal(signal.SIGUSR2)
        for client in clients:
            assert json.loads(client.line().removeprefix("INFO "))["ldm"] is True
        # Who is still connected is still served, nobody else is.
        clients[-1].create(name="late")
        assert clients[-1].msg("late", "hello") == {"msg_id": 0}
        assert accepts_nobody(broker.port)
        ends = []
        for client in clients:
            assert client.closed()
            ends.append(time.monotonic())
            assert client.unread.endswith(b"-ERR 'Server Shutdown'\r\n")
        assert ends[-1] - ends[0] > 0.3
        assert broker.process.wait(20) == 0
        broker._close_output()
    finally:
        for client in clients:
            client.close()
    broker.start()
    assert read_stored(broker.port, "late") == {0: b"hello"}


def test_a_lame_duck_without_clients_ends(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--lame-duck-duration", "0")
    assert broker.stop(signal.SIGUSR2) == 0


# TLS.


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
