"""The socket options of a connection, and the ready descriptor, on both event loops."""

import asyncio
import select
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mq9fast.config.settings import Settings
from mq9fast.event_loop import ready_descriptor
from mq9fast.network.socket_options import KEEPALIVE_COUNT, OPTIONS, UNSENT_BYTES
from mq9fast.server.broker import Broker

Run = Callable[[Coroutine[Any, Any, None]], None]


async def check_options(settings: Settings) -> None:
    broker = Broker(settings)
    await broker.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.address[1])
    assert (await reader.readline()).startswith(b"INFO ")
    (connection,) = broker.connections.values()
    assert connection._transport is not None
    tcp = connection._transport.get_extra_info("socket")
    assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for option, value in OPTIONS:
        assert tcp.getsockopt(socket.IPPROTO_TCP, option) == value
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        before = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert before != UNSENT_BYTES
        for subject, after in ((b"plain", before), (b"$mq9.AI.MAILBOX.MSG.a", UNSENT_BYTES)):
            writer.write(b"SUB %b %b\r\nPING\r\n" % (subject, subject))
            while await reader.readline() != b"PONG\r\n":
                pass
            assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == after
    writer.close()
    await broker.stop()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_broker_sets_keepalive_nodelay_and_notsent_lowat(tmp_path: Path, run: Run) -> None:
    assert (socket.TCP_NODELAY, 1) in OPTIONS
    if hasattr(socket, "TCP_KEEPCNT"):
        assert (socket.TCP_KEEPCNT, KEEPALIVE_COUNT) in OPTIONS
    run(check_options(Settings(port=0, monitor_port=-1, data_dir=str(tmp_path / "data"))))


async def check_ready_descriptor() -> None:
    descriptor = ready_descriptor(asyncio.get_running_loop())
    here, there = socket.socketpair()
    with here, there:
        reader, writer = await asyncio.open_connection(sock=here)
        await asyncio.sleep(0.01)
        assert select.select([descriptor], [], [], 0)[0] == []
        there.send(b"x")
        assert select.select([descriptor], [], [], 0)[0] == [descriptor]
        assert await reader.read(1) == b"x"
        writer.close()
        await writer.wait_closed()


def test_ready_descriptor_of_uvloop_is_readable_if_a_socket_is() -> None:
    uvloop.run(check_ready_descriptor())


def test_asyncio_has_no_ready_descriptor() -> None:
    loop = asyncio.new_event_loop()
    assert ready_descriptor(loop) == -1
    loop.close()
