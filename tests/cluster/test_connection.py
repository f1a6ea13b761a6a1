"""The connection to the servers of the log: signing in, TLS, and servers that go away, with real ones."""

import asyncio
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mq9fast.cluster.connection import Access, Connection
from mq9fast.cluster.log import LogError
from mq9fast.cluster.wire import Message
from tests.support.certificates import Certificates
from tests.support.creds import make_credentials
from tests.support.nats_server import NATS_SERVER
from tests.support.ports import free_port, free_ports
from tests.support.waiting import WAIT_SECONDS, wait_until, wait_until_async

Start = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start nats-server with lines of configuration: start("..."). Returns its port."""
    processes = []

    def start(lines: str = "", port: int = 0) -> int:
        port = port or free_port()
        config = tmp_path / f"{port}.conf"
        config.write_text(f"listen: 127.0.0.1:{port}\n{lines}\n")
        assert NATS_SERVER is not None
        process = subprocess.Popen([NATS_SERVER, "-c", str(config)], stderr=subprocess.DEVNULL)
        processes.append(process)
        wait_until(lambda: _listens(port))
        return port

    yield start
    for process in processes:
        process.kill()
        process.wait(WAIT_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def echoes(connection: Connection) -> None:
    """Check that a message comes back."""
    arrived: asyncio.Queue[Message] = asyncio.Queue()
    subject = connection.reply_subject(arrived.put_nowait)
    connection.publish(subject, b"body", header=b"Name: value\r\n")
    message = await asyncio.wait_for(arrived.get(), WAIT_SECONDS)
    assert (message.payload, message.field(b"Name"), message.status) == (b"body", b"value", b"")
    connection.forget(subject)


async def connects(access: Access) -> None:
    connection = Connection(access)
    try:
        await asyncio.wait_for(connection.connect(), WAIT_SECONDS)
        await echoes(connection)
    finally:
        await connection.close()


def url(port: int) -> list[str]:
    return [f"nats://127.0.0.1:{port}"]


def test_user_and_password(start: Start) -> None:
    port = start("authorization { user: log, password: right }")
    asyncio.run(connects(Access(url(port), user="log", password="right")))
    for password in ("wrong", None):
        with pytest.raises(LogError, match="refuse the connection: Authorization Violation"):
            asyncio.run(connects(Access(url(port), user="log", password=password)))


def test_file_of_credentials(start: Start, tmp_path: Path) -> None:
    port = start(make_credentials(tmp_path / "right"))
    make_credentials(tmp_path / "other")
    asyncio.run(connects(Access(url(port), creds=tmp_path / "right")))
    with pytest.raises(LogError, match="refuse the connection"):
        asyncio.run(connects(Access(url(port), creds=tmp_path / "other")))


def test_damaged_credentials(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name, reason in (("empty", "is not a file of credentials"), ("none", "No such file")):
        with pytest.raises(LogError, match=f"cannot be read: .*{reason}"):
            asyncio.run(connects(Access(url(1), creds=tmp_path / name)))


def test_tls(start: Start, certificates: Certificates) -> None:
    files = f"cert_file: '{certificates.cert_path('server')}', key_file: '{certificates.key_path('server')}'"
    port = start(f"tls {{ {files} }}")
    asyncio.run(connects(Access(url(port), tls=certificates.client_context())))
    stranger = Access(url(port), tls=certificates.client_context(authority="other"))
    with pytest.raises(LogError, match="certificate"):
        asyncio.run(connects(stranger))


def test_server_that_goes_away(start: Start) -> None:
    ports = free_ports(2)
    start(port=ports[1])

    async def main() -> None:
        connections: asyncio.Queue[None] = asyncio.Queue()
        # Nobody listens at the first one.
        connection = Connection(
            Access([*url(ports[0]), *url(ports[1])]), lambda: connections.put_nowait(None)
        )
        await connection.connect()
        await connections.get()
        await echoes(connection)
        start(port=ports[0])
        assert connection._wire is not None
        connection._wire.abort("cut")
        await connections.get()
        await echoes(connection)
        await connection.close()

    asyncio.run(main())


def test_moving_to_another_server(start: Start) -> None:
    ports = [start(f"server_name: s{number}") for number in range(2)]

    async def main() -> None:
        connected: asyncio.Queue[None] = asyncio.Queue()
        nobody = url(free_ports(1)[0])
        connection = Connection(
            Access([*url(ports[0]), *nobody, *url(ports[1])]), lambda: connected.put_nowait(None)
        )
        await connection.connect()
        assert (connection.server_name, connected.qsize()) == ("s0", 1)
        assert await connection.open_to("s2") is None
        opened = await connection.open_to("s1")
        assert opened is not None and connection.server_name == "s0"
        connection.move(opened)
        assert connection.server_name == "s1"
        await echoes(connection)
        lost = await connection.open_to("s0")
        assert lost is not None
        lost.wire.abort("cut")

        async def is_lost() -> bool:
            return lost.wire.is_lost

        await wait_until_async(is_lost)
        connection.move(lost)
        assert (connection.server_name, connected.qsize()) == ("s1", 1)
        opened.wire.abort("cut")
        for _ in range(2):
            await asyncio.wait_for(connected.get(), WAIT_SECONDS)
        await echoes(connection)
        await connection.close()

    asyncio.run(main())


def test_question_without_an_answer(start: Start) -> None:
    port = start()

    async def main() -> None:
        connection = Connection(Access(url(port)))
        await connection.connect()
        with pytest.raises(LogError, match="status 503"):
            await connection.ask("$JS.API.STREAM.INFO.LOG", {}, WAIT_SECONDS)
        await connection.close()
        with pytest.raises(LogError, match="was not answered"):
            await connection.ask("$JS.API.STREAM.INFO.LOG", {}, 0.01)

    asyncio.run(main())
