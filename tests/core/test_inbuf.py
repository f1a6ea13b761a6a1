"""The read side of a connection: what comes out is the same however it came in, and memory follows."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from tests.support.in_memory import KIB, MANY, Parts, cut, pub

MANY_PAYLOADS = [b"", b"x", b"\r\n", bytes(range(256)) * 50, b"0123456789" * 20_000, b"end"]


def stream_of(payloads: list[bytes]) -> tuple[bytes, bytes]:
    """Publishes, and what a subscriber with sid 1 gets of them."""
    sent = b"".join(pub(b"s", payload) for payload in payloads)
    got = b"".join(b"MSG s 1 %d\r\n%b\r\n" % (len(payload), payload) for payload in payloads)
    return sent, got


@MANY
@given(
    st.lists(st.integers(0, 700_000), max_size=12),
    st.sampled_from([4096, 5000, 65536, 262144]),
    st.permutations(MANY_PAYLOADS),
)
def test_payloads_of_all_sizes_in_any_pieces(
    places: list[int], read_bytes: int, payloads: list[bytes]
) -> None:
    parts = Parts(read_bytes=read_bytes)
    reader, writer = parts.session(), parts.session()
    reader.feed(b"SUB s 1\r\n")
    sent, got = stream_of(payloads)
    writer.feed_in(cut(sent, *places))
    assert reader.output() == got
    assert writer.session.in_messages == len(payloads)


def test_a_short_stream_in_single_bytes() -> None:
    parts = Parts()
    reader, writer = parts.session(), parts.session()
    reader.feed(b"SUB s 1\r\n", most=1)
    sent, got = stream_of([b"", b"abc", b"\r\n", b"PING\r\n"])
    writer.feed(sent, most=1)
    assert reader.output() == got


def test_connections_that_take_turns_reading_halves() -> None:
    """All read into the same memory: the half of one is not spoilt by the read of another."""
    parts = Parts()
    reader = parts.session()
    reader.feed(b"SUB s 1\r\n")
    writers = [parts.session() for _ in range(5)]
    payloads = [bytes([65 + i]) * (20 + i) for i in range(5)]
    frames = [pub(b"s", payload) for payload in payloads]
    for start in range(0, 40, 3):
        for writer, frame in zip(writers, frames, strict=True):
            if frame[start : start + 3]:
                writer.feed(frame[start : start + 3])
    got = reader.output()
    for payload in payloads:
        assert b"MSG s 1 %d\r\n%b\r\n" % (len(payload), payload) in got
    assert len(got) == sum(len(b"MSG s 1 20\r\n\r\n") + len(payload) for payload in payloads)


def test_memory_follows_what_came_not_what_was_announced() -> None:
    """A thousand connections that each announce a megabyte and send little of it."""
    parts = Parts()
    writers = [parts.session() for _ in range(1000)]
    tracemalloc.start()
    try:
        for writer in writers:
            writer.feed(b"PUB s 1000000\r\n" + b"x" * 100)
        held = tracemalloc.get_traced_memory()[0] / len(writers)
    finally:
        tracemalloc.stop()
    assert held < 80 * KIB


def test_memory_of_a_growing_payload_stays_near_its_size() -> None:
    parts = Parts()
    writer = parts.session()
    tracemalloc.start()
    try:
        writer.feed(b"PUB s 1000000\r\n" + b"x" * 500_000, most=20_000)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 500_000 < held < 1_600_000


def test_memory_goes_back_once_the_frame_is_whole() -> None:
    parts = Parts()
    writer = parts.session()
    tracemalloc.start()
    try:
        writer.feed(b"PUB s 1000000\r\n" + b"x" * 1_000_000 + b"\r\n", most=50_000)
        assert writer.session.in_messages == 1
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 4 * KIB


def test_there_is_always_room_to_read_into() -> None:
    parts = Parts(read_bytes=4096)
    writer = parts.session()
    frame = pub(b"s", b"x" * 100_000)
    for at in range(len(frame)):
        room = writer.session.get_buffer(-1)
        assert len(room) > 0
        room[0] = frame[at]
        writer.session.buffer_updated(1)
    assert writer.session.in_messages == 1


def test_what_follows_an_error_is_not_read() -> None:
    parts = Parts()
    reader, writer = parts.session(), parts.session()
    reader.feed(b"SUB s 1\r\n")
    writer.feed(b"NONSENSE\r\n" + pub(b"s"))
    writer.feed(pub(b"s"))
    assert writer.session.closing
    assert writer.output() == b"-ERR 'Unknown Protocol Operation'\r\n"
    assert reader.output() == b""
    parts.end_turn()
    assert writer.connection.closing


def test_one_full_read_is_a_connections_share_of_a_turn() -> None:
    parts = Parts(read_bytes=4096)
    writer = parts.session()
    frame = pub(b"s", b"x" * 80)
    writer.feed((frame * 100)[:4096])
    assert not writer.connection.reading
    assert parts.woken == 1
    parts.end_turn()
    assert writer.connection.reading
    writer.feed((frame * 100)[4096:8000])
    assert writer.connection.reading
    writer.feed((frame * 100)[8000:])
    assert writer.session.in_messages == 100


def test_the_beginning_of_a_frame_leaves_reads_as_large_as_before() -> None:
    parts = Parts(read_bytes=64 * KIB)
    writer = parts.session()
    writer.feed(pub(b"s") + b"PUB s 10")
    assert len(writer.session.get_buffer(-1)) > 60 * KIB
    writer.feed(b"0\r\n" + b"x" * 100 + b"\r\n")
    assert len(writer.session.get_buffer(-1)) == 64 * KIB
    assert writer.session.in_messages == 2
