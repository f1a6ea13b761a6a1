"""SIGHUP reloads the settings. Clients that are still authorized stay connected."""

import asyncio
import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import bcrypt
import nkeys
import pytest

from tests.support.certificates import Certificates
from tests.support.configured_broker import ConfiguredBroker, StartBroker
from tests.support.machine import kernel_bytes
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import WebWire
from tests.support.wire_client import MAILBOX, Wire

ANNA = '[[users]]\nuser = "anna"\npassword = "anna"\n'
BERTA = '[[users]]\nuser = "berta"\npassword = "berta"\n'
VIOLATION = "-ERR 'Authorization Violation'"


def test_client_that_is_still_authorized_stays_connected(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", ANNA + BERTA)
    anna, berta = broker.user("anna"), broker.user("berta")
    anna.sub("news")
    anna.ping()
    broker.reload(ANNA + '[[users]]\nuser = "cleo"\npassword = "cleo"\n')
    assert berta.line() == VIOLATION
    assert berta.closed()
    berta.close()
    with broker.user("cleo") as cleo:
        cleo.pub("news", "still there")
    assert anna.message().payload == b"still there"
    with Wire(broker.port, {"user": "berta", "pass": "berta"}) as gone:
        assert gone.line() == VIOLATION
    anna.close()


def test_messages_are_accepted_again_without_min_free(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", f"min_free = {2**62}\n")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wait_until(lambda: wire.msg("box", "refused").get("code") == "store_unavailable")
        broker.reload("min_free = 0\n")
        wait_until(lambda: "msg_id" in wire.msg("box", "accepted"))


def test_changed_password_closes_clients_with_the_old_one(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", ANNA)
    with broker.user("anna") as anna:
        broker.reload(ANNA.replace('password = "anna"', 'password = "other"'))
        assert anna.line() == VIOLATION
        assert anna.closed()


def test_password_replaced_by_its_hash_closes_no_client(start_broker: StartBroker, tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"anna", bcrypt.gensalt(4)).decode()
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", ANNA)
    with broker.user("anna") as anna:
        broker.reload(ANNA.replace('password = "anna"', f'password = "{hashed}"'))
        anna.ping()
        broker.reload(ANNA.replace('password = "anna"', f'password = "{hashed}"') + BERTA)
        anna.ping()
        broker.user("anna").close()


def anna_with_a_hash() -> str:
    """The settings of anna with a new hash of the same password at each call."""
    return ANNA.replace('password = "anna"', f'password = "{hashed(b"anna")}"')


def hashed(password: bytes) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()


def test_hash_replaced_by_its_password_closes_no_client(start_broker: StartBroker, tmp_path: Path) -> None:
    berta = BERTA.replace('password = "berta"', f'password = "{hashed(b"another")}"')
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", anna_with_a_hash() + berta)
    with broker.user("anna") as anna, Wire(broker.port, {"user": "berta", "pass": "another"}) as wire:
        wire.ping()
        broker.reload(ANNA + BERTA)
        anna.ping()
        # The password of berta has changed.
        assert wire.line() == VIOLATION
        broker.user("berta").close()


def test_replaced_hash_closes_its_clients(start_broker: StartBroker, tmp_path: Path) -> None:
    """The broker does not keep passwords, so it cannot check the new hash against the password."""
    texts = [anna_with_a_hash(), anna_with_a_hash()]
    assert texts[0] != texts[1]
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", texts[0])
    with broker.user("anna") as anna:
        broker.reload(texts[1], "the hash of its password was replaced, so it has to sign in again")
        assert anna.closed()
        assert not anna.unread
        broker.user("anna").close()


def test_nats_py_reconnects_after_its_hash_was_replaced(start_broker: StartBroker, tmp_path: Path) -> None:
    texts = [anna_with_a_hash(), anna_with_a_hash()]
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", texts[0])

    async def go() -> None:
        again = asyncio.Event()

        async def reconnected() -> None:
            again.set()

        client = await connect(
            broker.broker.url,
            user="anna",
            password="anna",
            reconnected_cb=reconnected,
            reconnect_time_wait=0.01,
        )
        await asyncio.to_thread(broker.reload, texts[1])
        await asyncio.wait_for(again.wait(), WAIT_SECONDS)
        await client.flush()
        await client.close()

    asyncio.run(go())


def test_last_of_two_reloads_counts_if_the_first_takes_longer(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    """The first reload compares a password with its hash, which takes long. The second compares nothing."""
    slow, quick = (bcrypt.hashpw(name, bcrypt.gensalt(12)).decode() for name in (b"anna", b"zoe"))
    zoe = f'[[users]]\nuser = "zoe"\npassword = "{quick}"\n'
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", ANNA)
    with broker.user("anna") as anna:
        broker.reload(ANNA.replace('password = "anna"', f'password = "{slow}"') + zoe)
        broker.reload(ANNA + 'permissions.publish = "allowed"\n' + zoe)
        # The check of zoe's password starts after the check in progress.
        broker.user("zoe").close()
        anna.pub("secret", "x")
        assert anna.line() == "-ERR 'Permissions Violation for Publish to \"secret\"'"


def test_permissions_of_connected_clients_change(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", ANNA)
    msg = f"{MAILBOX}MSG."
    with broker.user("anna") as anna:
        anna.create(name="kept")
        for sid, subject in enumerate(["a.b", "c.*", f"{msg}kept", f"{msg}lost", "_INBOX.>"]):
            anna.sub(subject, str(sid), "q" if subject == "a.b" else "")
        anna.ping()
        permissions = f"""
            permissions.publish = ["c.*", "{msg}kept"]
            permissions.subscribe = {{ allow = ["c.*", "{msg}kept", "_INBOX.>"], deny = "c.secret" }}
        """
        broker.reload(ANNA + permissions)
        lost = f'{msg}lost" (sid "3")'
        assert {anna.line(), anna.line()} == {
            '-ERR \'Permissions Violation for Subscription to "a.b" using queue "q" (sid "0")\'',
            f"-ERR 'Permissions Violation for Subscription to \"{lost}'",
        }
        anna.pub("c.secret", "1")
        anna.pub("c.open", "2")
        assert anna.message().payload == b"2"
        anna.pub("a.b", "3")
        assert anna.line() == "-ERR 'Permissions Violation for Publish to \"a.b\"'"
        anna.pub(f"{msg}kept", "4")
        assert anna.message().payload == b"4"
        broker.reload(ANNA)
        anna.pub("c.secret", "5")
        assert anna.message().payload == b"5"


def test_authentication_can_be_turned_on_and_off(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "")
    with Wire(broker.port) as anonymous:
        anonymous.ping()
        broker.reload('token = "t0ken"')
        assert anonymous.line() == VIOLATION
    with Wire(broker.port, {"auth_token": "t0ken"}) as known:
        known.ping()
        assert known.info["auth_required"] is True
        broker.reload("")
        known.ping()
        with Wire(broker.port) as anonymous:
            anonymous.ping()
            assert not anonymous.info.get("auth_required")
        broker.reload(ANNA)
        assert known.line() == VIOLATION


def test_limits_change_for_connected_clients(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(
        start_broker, tmp_path / "mq9.toml", "max_mailbox_messages = 1\nmax_subscriptions = 1"
    )
    with Wire(broker.port) as wire:
        wire.create(name="a")
        assert "msg_id" in wire.msg("a", "0")
        assert wire.msg("a", "1")["code"] == "limit_exceeded"
        broker.reload(
            "max_mailbox_messages = 2\nmax_subscriptions = 2\nmax_connections = 1\nauto_create = true"
        )
        assert "msg_id" in wire.msg("a", "1")
        assert wire.msg("a", "2")["code"] == "limit_exceeded"
        assert "msg_id" in wire.msg("new", "0")
        wire.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n")
        assert wire.line() == "-ERR 'maximum subscriptions exceeded'"
        with Wire(broker.port, None) as refused:
            assert refused.line() == "-ERR 'maximum connections exceeded'"


def test_max_pending_changes_for_connected_clients(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "")
    with Wire(broker.port, receive_bytes=65536) as slow, Wire(broker.port) as sender:
        slow.sub("flood")
        slow.ping()
        broker.reload("max_pending = 1000000")
        for _ in range(kernel_bytes() // 1_000_000 + 4):
            sender.pub("flood", b"x" * 1_000_000)
        sender.ping()
        assert slow.closed()


def test_reload_does_not_end_the_lame_duck_mode(start_broker: StartBroker, tmp_path: Path) -> None:
    text = 'lame_duck_duration = 60\nadvertise = "{}:4222"\n'
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", text.format("a"))
    with Wire(broker.port) as wire:
        wire.ping()
        broker.broker.process.send_signal(signal.SIGUSR2)
        assert '"ldm":true' in wire.line()
        broker.reload(text.format("b"))
        line = wire.line()
        assert '"b:4222"' in line
        assert '"ldm":true' in line
        assert broker.broker.stop() == 0


def test_sighup_during_the_start_reloads_once_started(tmp_path: Path) -> None:
    """The broker reads its settings from a pipe, and waits there until the signal is sent."""
    pipe, file = tmp_path / "mq9.toml", tmp_path / "new.toml"
    os.mkfifo(pipe)
    file.write_text("max_subscriptions = 1")
    flags = ("--config", pipe, "--port", "0", "--monitor-port", "-1", "--data-dir", tmp_path / "data")
    command = [sys.executable, "-m", "mq9fast", *map(str, flags)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            with pipe.open("w") as first:
                process.send_signal(signal.SIGHUP)
                file.replace(pipe)
                first.write("max_subscriptions = 5")
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            with Wire(port) as wire:
                wire.send("SUB a 1\r\nSUB b 2\r\n")
                assert wire.line() == "-ERR 'maximum subscriptions exceeded'"
        finally:
            process.kill()


def test_permission_that_covers_another_mailbox_logs_a_warning(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    """At the start, and again at a reload."""
    text = ANNA + f'permissions.publish = "{MAILBOX}MSG.{{}}"\n'
    warning = f"WARNING mq9fast.server: user 'anna': the publish permission '{MAILBOX}MSG.{{}}' also covers "
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", text.format("tenant.*"))
    assert broker.broker.log.read_text().count(warning.format("tenant.*")) == 1
    broker.reload(text.format("other.>"), warning.format("other.>") + "the mailbox 'other'")
    broker.reload(text.format("other"))
    assert broker.broker.log.read_text().count("WARNING") == 2


def test_sigusr1_is_ignored_during_the_start_and_afterwards(tmp_path: Path) -> None:
    pipe = tmp_path / "mq9.toml"
    os.mkfifo(pipe)
    flags = ("--config", pipe, "--port", "0", "--monitor-port", "-1", "--data-dir", tmp_path / "data")
    command = [sys.executable, "-m", "mq9fast", *map(str, flags)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            # The broker reads its settings from a pipe, and waits there until the signal is sent.
            with pipe.open("w") as first:
                process.send_signal(signal.SIGUSR1)
                first.write("max_subscriptions = 5")
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            with Wire(port) as wire:
                wire.ping()
                process.send_signal(signal.SIGUSR1)
                wire.ping()
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("server_name = 'x'", "server_name cannot change while the broker runs"),
        ("sync = 'never'", "sync cannot change while the broker runs"),
        ("tls_cert = 'x'\ntls_key = 'y'", "the TLS files x, y cannot be used"),
        ("nonsense = 1", "unknown key 'nonsense'"),
        ("[[users", "is not valid TOML"),
        (ANNA + "nkey = 'x'", "needs either user and password, or nkey"),
    ],
)
def test_invalid_file_changes_nothing(
    start_broker: StartBroker, tmp_path: Path, text: str, reason: str
) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", BERTA)
    with broker.user("berta") as berta:
        broker.reload(text, "reload failed, settings unchanged: ")
        assert reason in broker.broker.log.read_text()
        berta.ping()
        broker.user("berta").close()


def test_flags_override_the_reloaded_file(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "", "--max-subscriptions", "1")
    broker.reload("max_subscriptions = 5")
    with Wire(broker.port) as wire:
        wire.send("SUB a 1\r\nSUB b 2\r\n")
        assert wire.line() == "-ERR 'maximum subscriptions exceeded'"


def test_nats_py_stays_connected_through_reloads(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", ANNA)

    async def run() -> None:
        lost: list[str] = []

        async def note() -> None:
            lost.append("disconnected")

        client = await connect(broker.broker.url, user="anna", password="anna", disconnected_cb=note)
        inbox = await client.subscribe("a")
        for number in range(5):
            broker.reload(ANNA + BERTA * (number % 2))
            await client.publish("a", b"%d" % number)
            assert (await inbox.next_msg(WAIT_SECONDS)).data == b"%d" % number
        assert not lost
        await client.close()

    asyncio.run(run())


def test_client_that_got_no_nonce_cannot_sign_in_with_an_nkey(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    """A signature of an empty nonce would be valid for ever, also for an eavesdropper."""
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    pair = nkeys.from_seed(bytearray(seed))
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", f"auth_timeout = 600\n{ANNA}")
    with Wire(broker.port, None) as early:
        assert "nonce" not in early.info
        broker.reload(f'auth_timeout = 600\n[[users]]\nnkey = "{pair.public_key.decode()}"\n')
        options = {"nkey": pair.public_key.decode(), "sig": base64.b64encode(pair.sign(b"")).decode()}
        early.send(f"CONNECT {json.dumps(options)}\r\n")
        assert early.line() == VIOLATION


def test_reload_changes_the_allowed_origins(start_broker: StartBroker, tmp_path: Path) -> None:
    old, new = "https://old.example", "https://new.example"
    broker = ConfiguredBroker(
        start_broker, tmp_path / "mq9.toml", f'ws_origins = "{old}"\n', "--ws-port", "0"
    )
    port = broker.broker.ws_port
    with WebWire(port, Origin=old) as stays:
        broker.reload(f'ws_origins = "{new}"\n')
        stays.ping()
    with WebWire(port, Origin=new) as wire:
        wire.ping()
    with pytest.raises(AssertionError, match="403"):
        WebWire(port, Origin=old)
    broker.reload('ws_origins = "new.example"\n', "reload failed, settings unchanged: ws_origins: ")
    broker.reload("max_control_line = 5000\n", "reload failed, settings unchanged: max_control_line")
    with WebWire(port, Origin=new) as wire:
        wire.ping()


def test_new_connections_get_the_renewed_certificate(start_broker: StartBroker, tmp_path: Path) -> None:
    files, renewed = Certificates(tmp_path), Certificates(make_directory(tmp_path / "renewed"))
    settings = f'tls_cert = "{files.cert_path("server")}"\ntls_key = "{files.key_path("server")}"\n'
    flags = ("--ws-port", "0", "--tls-handshake-first", "on")
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", settings, *flags)
    ports = (broker.port, broker.broker.ws_port)
    with connect_tls(ports[0], files) as stays:
        for name in ("server.pem", "server.key"):
            (renewed.path / name).replace(files.path / name)
        broker.reload(settings)
        stays.sendall(b"PING\r\n")
        assert stays.recv(100) == b"PONG\r\n"
    for port in ports:
        connect_tls(port, renewed, reads_info=port == broker.port).close()
        with pytest.raises(ssl.SSLError):
            connect_tls(port, files)
    Path(files.cert_path("server")).write_text("no certificate")
    broker.reload(settings, "reload failed, settings unchanged: the TLS files")
    connect_tls(broker.port, renewed).close()


def make_directory(path: Path) -> Path:
    path.mkdir()
    return path


def connect_tls(port: int, trusted: Certificates, *, reads_info: bool = True) -> ssl.SSLSocket:
    """A TLS connection to a server with a certificate of this authority. `reads_info`: read INFO first."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
    try:
        peer = trusted.client_context().wrap_socket(plain, server_hostname="localhost")
    except ssl.SSLError:
        plain.close()
        raise
    if reads_info:
        assert peer.recv(65536).startswith(b"INFO ")
    return peer


def test_lower_max_connections_closes_the_newest_connections(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    flags = ("--ws-port", "0")
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", ANNA + BERTA, *flags)
    annas = [broker.user("anna") for _ in range(3)]
    berta = broker.user("berta")
    late = [broker.user("anna") for _ in range(2)]
    with WebWire(broker.broker.ws_port, {"user": "anna", "pass": "anna"}) as web:
        web.ping()
        # Connections that are not authorized any more are closed first, and do not count.
        broker.reload("max_connections = 4\n" + ANNA)
        assert berta.line() == VIOLATION
        assert late[1].line() == "-ERR 'maximum connections exceeded'"
        assert late[1].closed()
        assert web.line() == "-ERR 'maximum connections exceeded'"
    for wire in (*annas, late[0]):
        wire.ping()
    with Wire(broker.port, {"user": "anna", "pass": "anna"}) as refused:
        assert refused.line() == "-ERR 'maximum connections exceeded'"
    # An equal or larger value closes no connection.
    broker.reload("max_connections = 4\n" + ANNA)
    broker.reload("max_connections = 5\n" + ANNA)
    fifth = broker.user("anna")
    for wire in (*annas, late[0], fifth):
        wire.ping()
    for wire in (*annas, *late, berta, fifth):
        wire.close()
