"""A turn ends inside the read that began it if no other socket is readable. Otherwise its end is scheduled in
the event loop. After back-to-back turns the engine polls busily.
"""

import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.in_memory import KIB, Core, Peer, pub
from tests.support.waiting import WAIT_SECONDS


class Sockets:
    """A pipe that stands for every socket of a loop: readable while any of them is."""

    def __init__(self) -> None:
        self.descriptor, self._other = os.pipe()

    @property
    def ready(self) -> bool:
        return bool(select.select([self.descriptor], [], [], 0)[0])

    def become_ready(self) -> None:
        os.write(self._other, b"x")

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._other)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    sockets = Sockets()
    yield sockets
    sockets.close()


def reader_and_writer(
    sockets: Sockets, read_bytes: int = 64 * KIB, busy_poll_us: int = 0
) -> tuple[Core, Peer, Peer]:
    """A client that subscribes to `a`, and another client."""
    core = Core(read_bytes=read_bytes, busy_poll_us=busy_poll_us, ready_descriptor=sockets.descriptor)
    reader, writer = core.session(), core.session()
    reader.feed(b"SUB a 1\r\n")
    return core, reader, writer


def test_turn_ends_within_its_read_if_no_other_socket_is_readable(sockets: Sockets) -> None:
    core, reader, writer = reader_and_writer(sockets)
    for _ in range(2):
        writer.feed(pub(b"a", b"x") * 3)
        assert reader.connection.written == [b"MSG a 1 1\r\nx\r\n" * 3]
        reader.connection.written.clear()
    assert core.scheduled_ends == 0


def test_output_of_several_sockets_is_one_write_at_the_scheduled_end(sockets: Sockets) -> None:
    core, reader, writer = reader_and_writer(sockets)
    sockets.become_ready()
    for _ in range(2):
        writer.feed(pub(b"a", b"x"))
    assert reader.connection.written == []
    assert core.scheduled_ends == 1
    core.end_turn()
    assert reader.connection.written == [b"MSG a 1 1\r\nx\r\n" * 2]


def test_read_without_output_schedules_no_end_of_turn(sockets: Sockets) -> None:
    core, _, writer = reader_and_writer(sockets)
    writer.feed(b"PUB nobody 1\r\nx\r\n")
    sockets.become_ready()
    writer.feed(b"PUB nobody 1\r\nx\r\n")
    assert core.scheduled_ends == 0


def test_read_that_fills_its_buffer_pauses_its_client_until_the_end_of_the_turn(sockets: Sockets) -> None:
    core, _, writer = reader_and_writer(sockets, read_bytes=4 * KIB)
    writer.feed(pub(b"a", bytes(8 * KIB)), most=4 * KIB)
    assert not writer.connection.reading
    assert core.scheduled_ends == 1
    core.end_turn()
    assert writer.connection.reading


def test_stored_message_is_acknowledged_within_its_read(sockets: Sockets) -> None:
    core, reader, writer = reader_and_writer(sockets)
    core.create(b"box")
    writer.feed(pub(b"$mq9.AI.MAILBOX.MSG.box", b"x", reply=b"a"))
    assert reader.connection.written == [b'MSG a 1 12\r\n{"msg_id":0}\r\n']
    assert core.scheduled_ends == 0


def test_client_is_closed_within_the_read_of_its_protocol_error(sockets: Sockets) -> None:
    _, _, writer = reader_and_writer(sockets)
    writer.feed(b"BOO\r\n")
    assert writer.connection.closing


def test_output_is_written_although_the_commit_fails(sockets: Sockets) -> None:
    core, reader, writer = reader_and_writer(sockets)
    core.create(b"box")

    core.pipeline.failing = RuntimeError("commit")
    for count in (1, 2):
        writer.feed(pub(b"a", b"x") + pub(b"$mq9.AI.MAILBOX.MSG.box", b"x"))
        assert core.loop.failures == [core.pipeline.failing] * count
        assert reader.output() == b"MSG a 1 1\r\nx\r\n"


def scheduled_polls(core: Core) -> int:
    """How often busy polling was scheduled."""
    return core.loop.calls.count(core.engine.busy_poll)


def test_back_to_back_turns_schedule_busy_polling(sockets: Sockets) -> None:
    core, _, writer = reader_and_writer(sockets, busy_poll_us=60_000_000)
    # No turn came before the first one. It counts as back-to-back only if the machine started just now.
    writer.feed(pub(b"a", b"x"))
    core.loop.calls.clear()
    for _ in range(2):
        writer.feed(pub(b"a", b"x"))
    assert scheduled_polls(core) == 2
    # A turn that does not end within its read schedules none.
    sockets.become_ready()
    writer.feed(pub(b"a", b"x"))
    assert scheduled_polls(core) == 2


@pytest.mark.parametrize(("busy_poll_us", "pause"), [(0, 0.0), (1000, 0.01)], ids=["off", "pause"])
def test_busy_polling_is_not_scheduled_if_it_is_off_or_turns_are_far_apart(
    sockets: Sockets, busy_poll_us: int, pause: float
) -> None:
    core, _, writer = reader_and_writer(sockets, busy_poll_us=busy_poll_us)
    for _ in range(3):
        time.sleep(pause)
        writer.feed(pub(b"a", b"x"))
    assert scheduled_polls(core) == 0


def test_busy_polling_ends_when_a_socket_is_readable_and_releases_the_gil(sockets: Sockets) -> None:
    core, _, _ = reader_and_writer(sockets, busy_poll_us=600_000_000)
    # The timer's thread can run only while the GIL is released.
    timer = threading.Timer(0.05, sockets.become_ready)
    timer.start()
    core.engine.busy_poll()
    assert sockets.ready
    timer.join()


def test_busy_polling_lasts_busy_poll_if_no_socket_is_readable(sockets: Sockets) -> None:
    core, _, _ = reader_and_writer(sockets, busy_poll_us=20_000)
    began = time.monotonic()
    core.engine.busy_poll()
    assert time.monotonic() - began >= 0.02


def test_busy_poll_returns_at_once_while_an_end_of_turn_is_scheduled(sockets: Sockets) -> None:
    busy_poll_seconds = 2 * WAIT_SECONDS
    core, _, _ = reader_and_writer(sockets, busy_poll_us=int(busy_poll_seconds * 1_000_000))
    core.pending_work.schedule_end()
    began = time.monotonic()
    core.engine.busy_poll()
    assert time.monotonic() - began < busy_poll_seconds / 2
