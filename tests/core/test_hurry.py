"""While a client sends one message at a time, turns are short: it does not wait for the work of others."""

import time

import pytest

from tests.support.in_memory import KIB, Core, MemoryBatch, Peer, pub
from tests.support.waiting import WAIT_SECONDS

MSG = b"$mq9.AI.MAILBOX.MSG."
REQUEST = pub(MSG + b"box", b"x", b"inbox")
READ_BYTES = 512 * KIB
HURRIED_READ_BYTES = 128 * KIB
# Longer than HURRY_NS of client.pxd.
HURRY_SECONDS = 0.3


def core_with_a_box() -> Core:
    core = Core(read_bytes=READ_BYTES)
    core.create(b"box")
    return core


def hurry(core: Core) -> None:
    """A client sends one request after the other."""
    asker = core.session()
    asker.feed(REQUEST)
    asker.feed(REQUEST)
    assert core.pending_work.hurried


def read_bytes(peer: Peer) -> int:
    return len(peer.session.get_buffer(-1))


@pytest.mark.parametrize(
    ("data", "is_request"),
    [
        (REQUEST, True),
        (pub(b"service", b"x", b"inbox"), True),
        (REQUEST * 2, False),
        (pub(MSG + b"box", b"x"), False),
        (pub(MSG + b"box", bytes(5000), b"inbox"), False),
        (b"PING\r\n", False),
    ],
    ids=["request", "plain request", "two requests", "without a reply", "large", "PING"],
)
def test_single_requests_make_turns_short(data: bytes, is_request: bool) -> None:
    core = core_with_a_box()
    sender = core.session()
    asker = core.session()
    asker.feed(data)
    assert not core.pending_work.hurried
    asker.feed(data)
    assert core.pending_work.hurried is is_request
    core.end_turn()
    assert read_bytes(sender) == (HURRIED_READ_BYTES if is_request else READ_BYTES)


def test_a_client_that_sends_much_does_not_make_turns_short() -> None:
    """The end of a pipelined batch may arrive alone."""
    core = core_with_a_box()
    sender = core.session()
    sender.feed(pub(MSG + b"box", bytes(1000), b"inbox") * 100)
    for _ in range(5):
        sender.feed(REQUEST)
    assert not core.pending_work.hurried
    time.sleep(HURRY_SECONDS)
    sender.feed(REQUEST)
    sender.feed(REQUEST)
    assert core.pending_work.hurried


def test_requests_with_pauses_do_not_make_turns_short() -> None:
    core = core_with_a_box()
    asker = core.session()
    asker.feed(REQUEST)
    time.sleep(HURRY_SECONDS)
    asker.feed(REQUEST)
    assert not core.pending_work.hurried


def test_turns_are_long_again_later() -> None:
    core = core_with_a_box()
    hurry(core)
    core.end_turn()
    assert core.pending_work.hurried
    time.sleep(HURRY_SECONDS)
    core.end_turn()
    assert not core.pending_work.hurried


@pytest.mark.parametrize("hurried", [True, False])
def test_reply_leaves_before_the_messages_of_others(hurried: bool) -> None:
    core = core_with_a_box()
    reader, asker, order = core.session(), core.session(), []
    for name, peer in (("reader", reader), ("asker", asker)):
        written = peer.connection.written
        peer.connection.write = lambda data, name=name, written=written: (  # type: ignore[method-assign, misc]
            order.append(name),
            written.append(data),
        )
    asker.feed(b"SUB inbox 1\r\n")
    reader.feed(b"SUB " + MSG + b"box 1\r\n")
    core.end_turn()
    asker.feed(REQUEST)
    core.end_turn()
    for peer in (asker, reader):
        peer.output()
    order.clear()
    asker.feed(REQUEST if hurried else REQUEST * 2)
    core.end_turn()
    assert order == (["asker", "reader"] if hurried else ["reader", "asker"])
    assert asker.output().count(b'{"msg_id":') == (1 if hurried else 2)
    assert b"MSG $mq9" in reader.output()


def test_requests_are_stored_and_answered_before_what_others_send(monkeypatch: pytest.MonkeyPatch) -> None:
    core = core_with_a_box()
    sender, asker = core.session(), core.session()
    sender.feed(b"SUB acks 1\r\n")
    asker.feed(b"SUB inbox 1\r\n" + REQUEST)
    core.end_turn()
    asker.feed(REQUEST)
    core.end_turn()
    commits, commit = [], core.pipeline.commit

    def noting_commit() -> None:
        commits.append((core.accumulator.group.batch_bytes, len(asker.connection.written)))
        commit()

    monkeypatch.setattr(core.pipeline, "commit", noting_commit)
    asker.output()
    sender.feed(pub(MSG + b"box", bytes(1000), b"acks") * 20)
    asker.feed(REQUEST)
    assert not sender.connection.reading
    core.end_turn()
    (small, _), (large, written) = commits
    assert small < KIB < 20 * KIB < large
    assert written == 1
    # Both are served before the sockets are read again.
    assert sender.output().count(b'{"msg_id":') == 20
    assert sender.connection.reading


@pytest.mark.parametrize("fails", [1, 2])
def test_failed_commit_in_a_hurry_leaves_nobody_paused(fails: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first commit of the turn fails, or the second one, of what a client over its share sent."""
    core = core_with_a_box()
    hurry(core)
    core.end_turn()
    sender, asker = core.session(), core.session()
    sender.feed(b"SUB acks 1\r\n")
    sender.feed(pub(MSG + b"box", bytes(1000), b"acks") * 20)
    asker.feed(REQUEST)
    commits, commit = [], core.pipeline.commit

    def failing_commit() -> None:
        commits.append(0)
        if len(commits) == fails:
            raise OSError("the disk is gone")
        commit()

    monkeypatch.setattr(core.pipeline, "commit", failing_commit)
    with pytest.raises(OSError, match="the disk is gone"):
        core.end_turn()
    for _ in range(3):
        core.end_turn()
    assert sender.connection.reading
    assert sender.output().count(b'{"msg_id":') == 20


def test_each_hurried_turn_schedules_at_most_one_more() -> None:
    core = core_with_a_box()
    sender = core.session()
    reader = core.session()
    for _ in range(30):
        sender.feed(pub(MSG + b"box", bytes(60_000)))
        core.end_turn()
    hurry(core)
    core.end_turn()
    reader.feed(b"SUB " + MSG + b"box 1\r\n")
    core.loop.calls.clear()
    for _ in range(5):
        sender.feed(pub(MSG + b"box", bytes(1000)) * 20)
        calls, core.loop.calls[:] = list(core.loop.calls), []
        assert len(calls) <= 1
        for call in calls:
            call()


def test_reads_of_hurried_turns_are_as_small_as_their_time_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    core = core_with_a_box()
    sender, asker = core.session(), core.session()
    commit, pause = core.pipeline.commit, 0.001

    def slow_commit() -> None:
        time.sleep(pause)
        commit()

    monkeypatch.setattr(core.pipeline, "commit", slow_commit)

    def turn() -> int:
        asker.feed(REQUEST)
        sender.feed(pub(MSG + b"box", bytes(1000)) * 5)
        core.end_turn()
        return read_bytes(sender)

    asker.feed(REQUEST)
    sizes = [turn() for _ in range(20)]
    assert sizes[0] == HURRIED_READ_BYTES * 3 // 4
    assert sizes[-1] == 32 * KIB
    pause = 0
    until = time.monotonic() + WAIT_SECONDS
    while turn() < 64 * KIB:
        assert time.monotonic() < until


@pytest.mark.parametrize("queue", [b"", b"workers "])
def test_catching_up_takes_small_parts(queue: bytes) -> None:
    core = core_with_a_box()
    sender = core.session()
    for _ in range(60):
        sender.feed(pub(MSG + b"box", bytes(8000)))
        core.end_turn()
    hurry(core)
    reader = core.session()
    reader.feed(b"SUB " + MSG + b"box " + queue + b"1\r\n")
    core.end_turn()
    assert 56 * KIB < len(reader.output()) < 72 * KIB


@pytest.mark.parametrize(
    ("hurried", "most"), [(False, KIB * KIB), (True, 256 * KIB)], ids=["1 MiB", "256 KiB"]
)
def test_senders_are_stalled_while_a_thread_writes(hurried: bool, most: int) -> None:
    core = core_with_a_box()
    group = core.accumulator.group
    assert group.take_batch(MemoryBatch) is not None
    sealed = core.accumulator.seal()
    sender = core.session()
    if hurried:
        hurry(core)
    # In a hurry, larger reads are handled after the turn.
    part = pub(MSG + b"box", bytes(3900))
    for _ in range(most // 4000):
        sender.feed(part)
    assert sender.connection.reading
    for _ in range(2 * most // 100_000):
        sender.feed(part)
    assert not sender.connection.reading
    # Once the store has the group, much more may gather.
    group.mark_written()
    core.pending_work.resume_stalled()
    sender.feed(part)
    assert sender.connection.reading
    core.accumulator.release(sealed)


def test_senders_of_large_messages_are_stalled_while_the_disk_is_behind() -> None:
    core = core_with_a_box()
    core.accumulator.disk_behind = True
    large, small = core.session(), core.session()
    large.feed(pub(MSG + b"box", bytes(2000)))
    small.feed(pub(MSG + b"box", bytes(1000)))
    assert (large.connection.reading, small.connection.reading) == (False, True)
    assert core.accumulator.full
