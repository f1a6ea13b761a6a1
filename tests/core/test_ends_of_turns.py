"""When a turn ends: with the read that began it where nobody else has a part in it, else once it is woken."""

import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.in_memory import KIB, Parts, Peer, pub


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


def pair(sockets: Sockets, read_bytes: int = 64 * KIB, busy_poll_us: int = 0) -> tuple[Parts, Peer, Peer]:
    """A reader of `a` and a writer, past a turn."""
    parts = Parts(read_bytes=read_bytes, busy_poll_us=busy_poll_us, ready_descriptor=sockets.descriptor)
    reader, writer = parts.session(), parts.session()
    reader.feed(b"SUB a 1\r\n")
    return parts, reader, writer


def test_a_turn_that_nobody_else_has_a_part_in_ends_with_its_read(sockets: Sockets) -> None:
    parts, reader, writer = pair(sockets)
    for _ in range(2):
        writer.feed(pub(b"a", b"x") * 3)
        assert reader.connection.written == [b"MSG a 1 1\r\nx\r\n" * 3]
        reader.connection.written.clear()
    assert parts.woken == 0


def test_a_turn_of_several_sockets_is_one_write(sockets: Sockets) -> None:
    parts, reader, writer = pair(sockets)
    sockets.become_ready()
    for _ in range(2):
        writer.feed(pub(b"a", b"x"))
    assert reader.connection.written == []
    assert parts.woken == 1
    parts.end_turn()
    assert reader.connection.written == [b"MSG a 1 1\r\nx\r\n" * 2]


def test_a_read_that_says_nothing_to_anybody_ends_no_turn(sockets: Sockets) -> None:
    parts, _, writer = pair(sockets)
    writer.feed(b"PUB nobody 1\r\nx\r\n")
    sockets.become_ready()
    writer.feed(b"PUB nobody 1\r\nx\r\n")
    assert parts.woken == 0


def test_a_full_read_leaves_the_turn_to_others_too(sockets: Sockets) -> None:
    parts, _, writer = pair(sockets, read_bytes=4 * KIB)
    writer.feed(pub(b"a", bytes(8 * KIB)), most=4 * KIB)
    assert not writer.connection.reading
    assert parts.woken == 1
    parts.end_turn()
    assert writer.connection.reading


def test_what_is_stored_is_answered_with_its_read(sockets: Sockets) -> None:
    parts, reader, writer = pair(sockets)
    parts.create(b"box")
    writer.feed(pub(b"$mq9.AI.MAILBOX.MSG.box", b"x", reply=b"a"))
    assert reader.connection.written == [b'MSG a 1 12\r\n{"msg_id":0}\r\n']
    assert parts.woken == 0


def test_a_client_that_errs_is_closed_with_its_read(sockets: Sockets) -> None:
    _, _, writer = pair(sockets)
    writer.feed(b"BOO\r\n")
    assert writer.connection.closing


def test_output_goes_out_though_the_commit_failed(sockets: Sockets) -> None:
    parts, reader, writer = pair(sockets)
    parts.create(b"box")

    parts.pipeline.failing = RuntimeError("commit")
    for count in (1, 2):
        writer.feed(pub(b"a", b"x") + pub(b"$mq9.AI.MAILBOX.MSG.box", b"x"))
        assert parts.loop.failures == [parts.pipeline.failing] * count
        assert reader.output() == b"MSG a 1 1\r\nx\r\n"


def polls(parts: Parts) -> int:
    """How often busy polling was scheduled."""
    return parts.loop.calls.count(parts.engine.busy_poll)


def test_brisk_turns_are_followed_by_busy_polling(sockets: Sockets) -> None:
    parts, _, writer = pair(sockets, busy_poll_us=60_000_000)
    for _ in range(3):
        writer.feed(pub(b"a", b"x"))
    assert polls(parts) == 2
    # What others have a part in says nothing of who comes next.
    sockets.become_ready()
    writer.feed(pub(b"a", b"x"))
    assert polls(parts) == 2


@pytest.mark.parametrize(("busy_poll_us", "pause"), [(0, 0.0), (1000, 0.01)], ids=["not asked for", "quiet"])
def test_turns_that_are_not_brisk_are_not(sockets: Sockets, busy_poll_us: int, pause: float) -> None:
    parts, _, writer = pair(sockets, busy_poll_us=busy_poll_us)
    for _ in range(3):
        time.sleep(pause)
        writer.feed(pub(b"a", b"x"))
    assert polls(parts) == 0


def test_busy_polling_ends_with_what_comes_and_keeps_nobody_from_python(sockets: Sockets) -> None:
    parts, _, _ = pair(sockets, busy_poll_us=600_000_000)
    other = threading.Timer(0.05, sockets.become_ready)
    other.start()
    parts.engine.busy_poll()
    assert sockets.ready
    other.join()


def test_busy_polling_lasts_as_long_as_it_may(sockets: Sockets) -> None:
    parts, _, _ = pair(sockets, busy_poll_us=20_000)
    began = time.monotonic()
    parts.engine.busy_poll()
    assert time.monotonic() - began >= 0.02


def test_there_is_no_busy_polling_while_a_turn_is_to_end(sockets: Sockets) -> None:
    parts, _, _ = pair(sockets, busy_poll_us=600_000_000)
    parts.pending_work.schedule_end()
    parts.engine.busy_poll()
    assert not sockets.ready
