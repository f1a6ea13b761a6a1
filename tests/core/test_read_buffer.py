"""Tests of `protocol/read_buffer`: how reads are split changes no result, and memory stays bounded."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from tests.support.in_memory import KIB, MANY, Core, cut, pub

MANY_PAYLOADS = [b"", b"x", b"\r\n", bytes(range(256)) * 50, b"0123456789" * 20_000, b"end"]


def stream_of(payloads: list[bytes]) -> tuple[bytes, bytes]:
    """PUB frames of the payloads, and the MSG frames that a subscriber with sid 1 receives."""
    sent = b"".join(pub(b"s", payload) for payload in payloads)
    received = b"".join(b"MSG s 1 %d\r\n%b\r\n" % (len(payload), payload) for payload in payloads)
    return sent, received


@MANY
@given(
    st.lists(st.integers(0, 700_000), max_size=12),
    st.sampled_from([4096, 5000, 65536, 262144]),
    st.permutations(MANY_PAYLOADS),
)
def test_payloads_of_all_sizes_are_delivered_under_any_split(
    offsets: list[int], read_bytes: int, payloads: list[bytes]
) -> None:
    core = Core(read_bytes=read_bytes)
    reader, writer = core.session(), core.session()
    reader.feed(b"SUB s 1\r\n")
    sent, received = stream_of(payloads)
    writer.feed_in(cut(sent, *offsets))
    assert reader.output() == received
    assert writer.session.in_messages == len(payloads)


def test_stream_read_in_single_bytes_is_delivered() -> None:
    core = Core()
    reader, writer = core.session(), core.session()
    reader.feed(b"SUB s 1\r\n", most=1)
    sent, received = stream_of([b"", b"abc", b"\r\n", b"PING\r\n"])
    writer.feed(sent, most=1)
    assert reader.output() == received


def test_connections_with_partial_frames_do_not_mix() -> None:
    """All connections read into the same memory. A read must not change the partial frame of another."""
    core = Core()
    reader = core.session()
    reader.feed(b"SUB s 1\r\n")
    writers = [core.session() for _ in range(5)]
    payloads = [bytes([65 + i]) * (20 + i) for i in range(5)]
    frames = [pub(b"s", payload) for payload in payloads]
    for start in range(0, 40, 3):
        for writer, frame in zip(writers, frames, strict=True):
            if frame[start : start + 3]:
                writer.feed(frame[start : start + 3])
    received = reader.output()
    for payload in payloads:
        assert b"MSG s 1 %d\r\n%b\r\n" % (len(payload), payload) in received
    assert len(received) == sum(len(b"MSG s 1 20\r\n\r\n") + len(payload) for payload in payloads)


def test_memory_depends_on_received_not_announced_bytes() -> None:
    """A thousand connections each announce a megabyte and send 100 bytes of it."""
    core = Core()
    writers = [core.session() for _ in range(1000)]
    tracemalloc.start()
    try:
        for writer in writers:
            writer.feed(b"PUB s 1000000\r\n" + b"x" * 100)
        used = tracemalloc.get_traced_memory()[0] / len(writers)
    finally:
        tracemalloc.stop()
    assert used < 80 * KIB


def test_memory_of_a_partial_payload_is_near_its_size() -> None:
    core = Core()
    writer = core.session()
    tracemalloc.start()
    try:
        writer.feed(b"PUB s 1000000\r\n" + b"x" * 500_000, most=20_000)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 500_000 < used < 1_600_000


def test_memory_is_freed_when_the_frame_is_complete() -> None:
    core = Core()
    writer = core.session()
    tracemalloc.start()
    try:
        writer.feed(b"PUB s 1000000\r\n" + b"x" * 1_000_000 + b"\r\n", most=50_000)
        assert writer.session.in_messages == 1
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used < 4 * KIB


def test_buffer_for_a_read_is_never_empty() -> None:
    core = Core(read_bytes=4096)
    writer = core.session()
    frame = pub(b"s", b"x" * 100_000)
    for i in range(len(frame)):
        buffer = writer.session.get_buffer(-1)
        assert len(buffer) > 0
        buffer[0] = frame[i]
        writer.session.buffer_updated(1)
    assert writer.session.in_messages == 1


def test_bytes_after_a_protocol_error_are_ignored() -> None:
    core = Core()
    reader, writer = core.session(), core.session()
    reader.feed(b"SUB s 1\r\n")
    writer.feed(b"NONSENSE\r\n" + pub(b"s"))
    writer.feed(pub(b"s"))
    assert writer.session.closing
    assert writer.output() == b"-ERR 'Unknown Protocol Operation'\r\n"
    assert reader.output() == b""
    core.end_turn()
    assert writer.connection.closing


def test_read_that_fills_the_buffer_uses_up_the_share_of_a_turn() -> None:
    core = Core(read_bytes=4096)
    writer = core.session()
    frame = pub(b"s", b"x" * 80)
    writer.feed((frame * 100)[:4096])
    assert not writer.connection.reading
    assert core.scheduled_ends == 1
    core.end_turn()
    assert writer.connection.reading
    writer.feed((frame * 100)[4096:8000])
    assert writer.connection.reading
    writer.feed((frame * 100)[8000:])
    assert writer.session.in_messages == 100


def test_partial_frame_does_not_make_reads_smaller() -> None:
    core = Core(read_bytes=64 * KIB)
    writer = core.session()
    writer.feed(pub(b"s") + b"PUB s 10")
    assert len(writer.session.get_buffer(-1)) > 60 * KIB
    writer.feed(b"0\r\n" + b"x" * 100 + b"\r\n")
    assert len(writer.session.get_buffer(-1)) == 64 * KIB
    assert writer.session.in_messages == 2
