"""Tests of `websocket/frame_writer`, read with wsproto as a client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Pong

from mq9fast._core.testing.websocket import ExposedFrameWriter
from mq9fast._core.websocket.frame_writer import frame
from tests.support.in_memory import MANY
from tests.support.websocket_client import BINARY, PONG

SIZES = [1, 2, 4, 124, 125, 126, 127, 470, 65_531, 65_535, 65_536, 70_000, 1 << 20, 3 << 20]


def read_frames(data: bytes) -> list[tuple[int, bytes]]:
    """The opcode and payload of each frame. Each must be a whole message."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    found = []
    for event in client.events():
        assert isinstance(event, BytesMessage | Pong), event
        assert isinstance(event, Pong) or (event.frame_finished and event.message_finished)
        is_message = isinstance(event, BytesMessage)
        found.append((BINARY if is_message else PONG, bytes(event.data if is_message else event.payload)))
    return found


@pytest.mark.parametrize("size", SIZES)
def test_the_output_of_a_turn_is_one_frame(size: int) -> None:
    writer = ExposedFrameWriter()
    data = bytes(at % 251 for at in range(size))
    for _ in range(3):
        for at in range(0, size, max(1, size // 3)):
            writer.write(data[at : at + max(1, size // 3)])
        taken = writer.taken()
        assert read_frames(taken) == [(BINARY, data)]
        assert taken == frame(BINARY, data)
        assert writer.taken() == b""


def test_an_empty_writer_gives_no_bytes() -> None:
    writer = ExposedFrameWriter()
    writer.write(b"")
    assert writer.taken() == b""


step = st.one_of(
    st.none(),
    st.tuples(st.just(PONG), st.binary(max_size=125)),
    st.tuples(st.just(BINARY), st.one_of(st.binary(max_size=130), st.sampled_from(SIZES[:12]).map(bytes))),
)


@MANY
@given(st.lists(step, max_size=12))
def test_any_messages_and_pongs_arrive_in_order(steps: list[tuple[int, bytes] | None]) -> None:
    """Each step writes to the message, sends a pong, or takes what was written if it is None."""
    writer = ExposedFrameWriter()
    due: list[tuple[int, bytes]] = []
    for each in [*steps, None]:
        if each is None:
            assert read_frames(writer.taken()) == due
            due = []
        elif each[0] == PONG:
            writer.pong(each[1])
            due.append(each)
        elif each[1]:
            writer.write(each[1])
            if due and due[-1][0] == BINARY:
                due[-1] = (BINARY, due[-1][1] + each[1])
            else:
                due.append(each)


@pytest.mark.parametrize("already", [0, 10, 600])
@pytest.mark.parametrize("failing", ["write", "take"])
def test_a_writer_is_usable_after_memory_error(failing: str, already: int) -> None:
    testcapi = pytest.importorskip("_testcapi")
    writer = ExposedFrameWriter()
    # The next chunk is allocated as large as this one, so that `take` has to shrink it.
    writer.write(b"x" * 100_000)
    writer.taken()
    if already:
        writer.write(b"x" * already)
    data = b"y" * 1_000_000
    testcapi.set_nomemory(0, 1)
    try:
        writer.write(data) if failing == "write" else writer.taken()
    except MemoryError:
        failed = True
    else:
        failed = False
    finally:
        testcapi.remove_mem_hooks()
    assert failed is (failing == "write" or already > 0)
    writer.write(b"again")
    assert read_frames(writer.taken()) == [(BINARY, b"again")]
