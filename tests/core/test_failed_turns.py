"""An exception at the end of a turn: the other clients are still written to, closed and resumed."""

import pytest

from mq9fast._core.testing.pubsub import begin_end_of_turn, set_turn_ns
from tests.support.in_memory import KIB, Core, FakeConnection, pub


class BrokenConnection(FakeConnection):
    """A connection whose transport raises."""

    def write(self, data: bytes) -> None:
        raise RuntimeError("write")

    def close(self) -> None:
        raise RuntimeError("close")

    def resume(self) -> None:
        raise RuntimeError("resume")


def test_failed_commit_still_resumes_clients_over_their_share() -> None:
    core = Core(read_bytes=4 * KIB)
    core.create(b"box")
    core.pipeline.failing = RuntimeError("commit")
    peer = core.session()
    peer.feed(pub(b"$mq9.AI.MAILBOX.MSG.box", b"x") + b"PUB nobody 8000\r\n", most=4 * KIB)
    peer.session.use_up_share()
    assert not peer.connection.reading
    with pytest.raises(RuntimeError, match="commit"):
        core.end_turn()
    assert peer.connection.reading


def test_failed_commit_still_closes_and_resumes_clients() -> None:
    core = Core()
    core.create(b"box")
    core.pipeline.failing = RuntimeError("commit")
    wrong, sender = core.session(), core.session()
    wrong.feed(b"BOO\r\n")
    sender.feed(pub(b"$mq9.AI.MAILBOX.MSG.box", bytes(KIB * KIB)) * 9)
    assert not sender.connection.reading
    with pytest.raises(RuntimeError, match="commit"):
        core.end_turn()
    assert wrong.connection.closing
    assert core.pipeline.stalls == 1


def test_failed_write_to_a_client_does_not_delay_others() -> None:
    core = Core()
    readers = [core.session() for _ in range(3)]
    for reader in readers:
        reader.feed(b"SUB a 1\r\n")
    readers[1].connection = readers[1].session.connection = BrokenConnection()
    writer = core.session()
    writer.feed(pub(b"a", b"x"))
    begin_end_of_turn(core.pending_work)
    scheduled = core.scheduled_ends
    with pytest.raises(RuntimeError, match="write"):
        core.pending_work.flush()
    assert core.scheduled_ends == scheduled + 1
    core.end_turn()
    for reader in (readers[0], readers[2]):
        assert b"".join(reader.connection.written) == b"MSG a 1 1\r\nx\r\n"


def test_failed_close_of_a_client_does_not_keep_others_open() -> None:
    core = Core()
    peers = [core.session() for _ in range(3)]
    for peer in peers:
        peer.session.close_with(None)
    peers[1].connection = peers[1].session.connection = BrokenConnection()
    with pytest.raises(RuntimeError, match="close"):
        core.end_turn()
    core.end_turn()
    assert peers[0].connection.closing
    assert peers[2].connection.closing


def test_client_whose_operation_raises_is_closed_and_others_are_resumed() -> None:
    """The client is paused, so that no later read would close it."""
    core = Core()
    set_turn_ns(core.pending_work, 0)
    peers = [core.session() for _ in range(3)]
    for peer in peers:
        peer.feed(b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(200)))
        assert not peer.connection.reading

    def broken_connect(options: bytes) -> None:
        raise RuntimeError("connect")

    peers[0].connection.connect = broken_connect  # type: ignore[method-assign]
    peers[0].feed(b"CONNECT {}\r\n")
    failed = 0
    for _ in range(20):
        try:
            core.end_turn()
        except RuntimeError:
            failed += 1
    assert failed == 1
    assert [peer.connection.closing for peer in peers] == [True, False, False]
    assert all(peer.connection.reading for peer in peers[1:])


def test_failed_resume_of_a_client_does_not_keep_others_stalled() -> None:
    core = Core()
    core.create(b"box")
    core.session().feed(pub(b"$mq9.AI.MAILBOX.MSG.box", bytes(KIB * KIB)) * 9)
    peers = [core.session() for _ in range(3)]
    for peer in peers:
        peer.feed(pub(b"$mq9.AI.MAILBOX.MSG.box", b"x"))
        assert not peer.connection.reading
    peers[1].connection = peers[1].session.connection = BrokenConnection()
    core.end_turn()
    stalls = core.pipeline.stalls
    with pytest.raises(RuntimeError, match="resume"):
        core.pending_work.resume_stalled()
    core.end_turn()
    assert core.pipeline.stalls == stalls + 1
    core.pending_work.resume_stalled()
    assert all(peer.connection.reading for peer in (peers[0], peers[2]))


def test_deferred_call_that_raises_loses_no_reply_and_no_message() -> None:
    core = Core()
    core.create(b"box")
    peer, consumer = core.session(), core.session()
    consumer.feed(b"SUB $mq9.AI.MAILBOX.MSG.box 1\r\n")
    core.end_turn()

    def broken(durable: bool) -> None:
        raise RuntimeError("deferred")

    called: list[bool] = []
    core.accumulator.group.defer(broken)
    core.accumulator.group.defer(called.append)
    peer.feed(b"SUB in 1\r\n" + pub(b"$mq9.AI.MAILBOX.MSG.box", b"x", reply=b"in"))
    with pytest.raises(RuntimeError, match="deferred"):
        core.end_turn()
    assert called == [True]
    assert peer.output() == b'MSG in 1 12\r\n{"msg_id":0}\r\n'
    assert consumer.output().endswith(b" 1\r\nx\r\n")
