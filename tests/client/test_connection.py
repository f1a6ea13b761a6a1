"""Where the client finds the broker, how it signs in, and what it says if it cannot."""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nkeys
import pytest

import mq9fast
from mq9fast.client import (
    BadContext,
    ClientClosed,
    Mq9,
    Mq9Error,
    NoBroker,
    NotMq9,
    PermissionDenied,
    SignInFailed,
    TimedOut,
)
from mq9fast.client.server import find_server
from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.client import connect, with_client
from tests.support.nats_server import NatsServer

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
PUBLIC_KEY = nkeys.from_seed(bytearray(SEED)).public_key.decode()


SOON = 0.1


async def open_and_close(url: str, **options: Any) -> None:
    async with connect(url, **options) as mq9:
        await mq9.create("opened")


def test_no_broker_is_a_sentence_and_a_hint() -> None:
    async def run() -> None:
        async with mq9fast.connect("nats://anna:secret@127.0.0.1:1"):
            raise AssertionError("there is no broker")

    with pytest.raises(NoBroker, match=r"^There is no broker at nats://127.0.0.1:1: .*refused") as raised:
        asyncio.run(run())
    assert "mq9fast dev" in raised.value.hint


def test_broker_that_does_not_reply() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NoBroker):
        asyncio.run(open_and_close(f"nats://127.0.0.1:{silent.getsockname()[1]}", timeout=0.5))


def test_wrong_password(start_broker: Callable[..., Broker], caplog: pytest.LogCaptureFixture) -> None:
    broker = start_broker("--user", "anna", "--password", "right-one")
    asyncio.run(open_and_close(broker.url, user="anna", password="right-one"))
    asyncio.run(open_and_close(broker.url.replace("//", "//anna:right-one@")))
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SignInFailed, match="refuses the sign-in") as raised:
        asyncio.run(open_and_close(broker.url, user="anna", password="wrong-one"))
    assert "wrong-one" not in caplog.text + str(raised.value)


def test_sign_in_with_a_token(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--token", "secret")
    asyncio.run(open_and_close(broker.url, token="secret"))
    with pytest.raises(SignInFailed):
        asyncio.run(open_and_close(broker.url))


def test_sign_in_with_an_nkey(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    config, seed = tmp_path / "mq9.toml", tmp_path / "anna.nk"
    config.write_text(f'[[users]]\nnkey = "{PUBLIC_KEY}"\n')
    seed.write_bytes(b"-----BEGIN USER NKEY SEED-----\n" + SEED + b"\n------END USER NKEY SEED------\n")
    broker = start_broker("--config", str(config))
    asyncio.run(open_and_close(broker.url, nkey=str(seed)))
    for wrong in (b"", SEED[:-1], SEED[:-1] + b"A"):
        seed.write_bytes(wrong)
        with pytest.raises(BadContext, match="seed") as raised:
            asyncio.run(open_and_close(broker.url, nkey=str(seed)))
        assert SEED.decode() not in str(raised.value)


def test_tls(start_broker: Callable[..., Broker], certificates: Certificates) -> None:
    broker = start_broker(
        "--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server")
    )
    asyncio.run(open_and_close(broker.url, ca=certificates.cert_path("ca")))
    with pytest.raises(NoBroker):
        asyncio.run(open_and_close(broker.url))
    with pytest.raises(BadContext):
        asyncio.run(open_and_close(broker.url, ca="/nowhere"))


def test_arguments_come_before_the_environment_and_contexts(tmp_path: Path) -> None:
    contexts = tmp_path / "nats" / "context"
    contexts.mkdir(parents=True)
    (contexts / "prod.json").write_text(json.dumps({"url": "nats://prod", "user": "ops", "password": "p"}))
    (contexts / "dev.json").write_text(json.dumps({"url": "nats://dev", "nkey": "~/seed", "tls_first": True}))
    (tmp_path / "nats" / "context.txt").write_text("prod\n")
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    selected = find_server({}, environ=home)
    assert (selected.urls, selected.user, selected.password) == (["nats://prod"], "ops", "p")
    # The password of the selected context goes to no other server.
    assert find_server({"url": "nats://other"}, environ=home).user == ""
    assert find_server({}, environ={**home, "NATS_URL": "nats://other"}).user == ""
    named = find_server({}, environ={**home, "NATS_CONTEXT": "dev", "MQ9_URL": "a,b", "NATS_URL": "c"})
    assert named.urls == ["a", "b"] and named.tls_first and named.nkey == str(Path("~/seed").expanduser())
    given = find_server({"user": "me"}, "prod", {**home, "NATS_URL": "nats://other", "NATS_USER": "you"})
    assert (given.urls, given.user) == (["nats://prod"], "me")
    assert find_server({}, environ={"HOME": "/nowhere"}).shown == "nats://127.0.0.1:4222"
    assert "'p'" not in repr(selected)


@pytest.mark.parametrize("text", ["{", '{"url": 5}', '{"creds": "/some/file"}'])
def test_context_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(BadContext, match=r"bad\.json|JWT"):
        find_server({}, str(file))
    with pytest.raises(BadContext, match="'missing' cannot be read"):
        find_server({}, "missing", {"HOME": str(tmp_path)})


def test_server_without_mailboxes(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, {})
    try:
        with pytest.raises(NotMq9):
            asyncio.run(open_and_close(f"nats://127.0.0.1:{server.port}"))
    finally:
        server.end()


def test_refused_subjects_are_errors(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text(
        '[[users]]\nuser = "anna"\npassword = "a"\npermissions.publish = ["$mq9.AI.MAILBOX.LIST.*"]\n'
        'permissions.subscribe = ["_INBOX.>"]\n'
    )
    broker = start_broker("--config", str(config))

    async def use(mq9: Mq9) -> None:
        with pytest.raises(PermissionDenied, match=r"a request to .*CREATE"):
            await mq9.create("x")
        with pytest.raises(PermissionDenied, match=r"a subscription to .*MSG\.x"):
            await mq9.group("x", "g").next()
        with pytest.raises(PermissionDenied):
            async for _ in mq9.watch("x"):
                pass

    with_client(broker.url, use, user="anna", password="a")


def test_no_reply_in_time(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()

    async def run() -> None:
        async with mq9fast.connect(broker.url, timeout=0.3) as mq9:
            broker.process.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(TimedOut, match=r"within 0\.3 s: .*CREATE"):
                    await mq9.create("x")
            finally:
                broker.process.send_signal(signal.SIGCONT)

    asyncio.run(run())


def test_subscription_that_was_not_sent_yet_takes_no_message(
    broker: Broker, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nats-py keeps what it has not sent, and would send it after a reconnect, when nobody reads it."""

    async def keep(**options: object) -> None:
        """What is written waits to be sent."""

    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        for number in range(3):
            await mq9.send(address, number)
        group = mq9.group(address, "g")
        with monkeypatch.context() as patch:
            patch.setattr(mq9._transport._client, "_flush_pending", keep)
            waiting = asyncio.create_task(group.next())
            await asyncio.sleep(SOON)
        await mq9._transport._client.force_reconnect()
        assert (await waiting).body == 0
        assert [(await group.next()).body for _ in range(2)] == [1, 2]

    with_client(broker.url, use)


def test_closed_client(broker: Broker) -> None:
    async def run() -> None:
        mq9 = await connect(broker.url).connect()
        await mq9.close()
        await mq9.close()
        for call in (mq9.create("x"), mq9.group("x", "g").next(), mq9.watch("x").next()):
            with pytest.raises(ClientClosed):
                await call

    asyncio.run(run())


def test_all_errors_have_a_base_and_a_code() -> None:
    kinds = [each for each in vars(mq9fast.client.errors).values() if isinstance(each, type)]
    codes = [each.code for each in kinds if issubclass(each, Mq9Error)]
    assert len(codes) > 20 and len(set(codes)) == len(codes)


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def reset_then_pass_on(listener: socket.socket, resets: int, port: int) -> None:
    """Reset the first connections; join the next one with that port until it ends."""
    for _ in range(resets):
        client, _ = listener.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    client, _ = listener.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=pump, args=(server, client))
        back.start()
        pump(client, server)
        back.join()


def test_reset_connection_is_tried_again(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--token", "secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # nats-py tries twice itself.
        proxy = threading.Thread(target=reset_then_pass_on, args=(listener, 4, broker.port))
        proxy.start()
        asyncio.run(open_and_close(f"nats://127.0.0.1:{listener.getsockname()[1]}", token="secret"))
        proxy.join()


def info_twice_then_pass_on(listener: socket.socket, port: int) -> None:
    """Send INFO to the first connection twice, and join it and the next one with that port."""
    for times in (2, 1):
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            client.sendall(times * server.recv(65536))
            back = threading.Thread(target=pump, args=(server, client))
            back.start()
            pump(client, server)
            back.join()


def test_another_line_instead_of_pong(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = threading.Thread(target=info_twice_then_pass_on, args=(listener, broker.port))
        proxy.start()
        asyncio.run(open_and_close(f"nats://127.0.0.1:{listener.getsockname()[1]}"))
        proxy.join()
