"""WebSocket: frames against wsproto, compressed messages, and sessions in frames."""

from mq9fast._core.websocket_session import WebSocketSession
from tests.core import test_compressed_frames, test_frame_reader
from tests.fuzz.target import Target
from tests.support.in_memory import Core, Peer, pub
from tests.support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

PIECE_BYTES = (1, 2, 3, 7, 50)


def _cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """The first byte says how the others are cut."""
    size = PIECE_BYTES[(data[0] if data else 0) % len(PIECE_BYTES)]
    rest = data[1:]
    return rest, [rest[at : at + size] for at in range(0, len(rest), size)]


def read_frames(data: bytes) -> None:
    rest, pieces = _cut(data)
    test_frame_reader.check(rest, [])
    assert test_frame_reader.read(pieces).code == test_frame_reader.read([rest]).code


def read_compressed(data: bytes) -> None:
    rest, pieces = _cut(data)
    limit = 5000
    whole, cut = (test_compressed_frames.read(each, limit) for each in ([rest], pieces))
    # What cannot be inflated may become too large before it shows.
    codes = {whole[1], cut[1]}
    assert len(codes) == 1 or codes == {1007, 1009}
    if codes == {0}:
        assert whole == cut


def serve(data: bytes) -> None:
    """A client in frames, compressed or not, whatever it sends: another one is served."""
    core = Core()
    other = core.session()
    other.feed(b"SUB a 1\r\n")
    outputs = []
    for pieces in ([data[1:]], _cut(data)[1]):
        peer = Peer(core, len(outputs) + 10, True, session_type=WebSocketSession)
        assert isinstance(peer.session, WebSocketSession)
        peer.session.use_compression()
        for piece in pieces:
            if peer.connection.closing:
                break
            peer.feed(piece)
        for _ in range(2):
            core.end_turn()
        outputs.append((peer.connection.closing, other.output()))
        peer.session.closed()
    # Of a message that is invalid in the end, more or less is handled before that shows.
    (whole_closes, whole), (cut_closes, cut) = outputs
    assert whole_closes == cut_closes
    assert whole == cut or (whole_closes and (whole.startswith(cut) or cut.startswith(whole)))
    assert not core.loop.failures
    other.feed(pub(b"a", b"served") + b"PING\r\n")
    core.end_turn()
    assert other.output() == b"MSG a 1 6\r\nserved\r\nPONG\r\n"
    other.session.closed()


_TEXT = "aé€😀".encode()
_PLAIN = [
    frame(BINARY, b"PING\r\n"),
    frame(TEXT, _TEXT, final=False) + frame(PING, b"x") + frame(CONTINUATION, b"yz"),
    frame(BINARY, b"x" * 130) + frame(PONG) + frame(CLOSE, b"\x03\xe8bye"),
    frame(BINARY, b"x" * 3, size=2**63),
    frame(BINARY, pub(b"a", b"1") * 9, final=False) + frame(CONTINUATION, pub(b"a", b"2")),
]
_COMPRESSED = [
    test_compressed_frames.compressed_frame(pub(b"a", b"x" * 400) * 4),
    test_compressed_frames.compressed_frame(bytes(6000)),
    frame(TEXT | test_compressed_frames.COMPRESSED, test_compressed_frames.deflated(_TEXT)[:4], final=False)
    + frame(CONTINUATION, test_compressed_frames.deflated(_TEXT)[4:]),
]
_SEEDS = [bytes([at % len(PIECE_BYTES)]) + data for at, data in enumerate([*_PLAIN, *_COMPRESSED] * 2)]
_WORDS = [
    *_PLAIN,
    *(frame(opcode, b"", masked=masked) for opcode in (BINARY, PING, CLOSE, 3) for masked in (True, False)),
    *(b"\x7e\xff\xff", b"\x7f" + bytes(8), b"\xff\xff\xff\xff", b"\xc2", b"\x00\x00\xff\xff", b"\xc0\x80"),
]
TARGETS = [
    Target("frames", read_frames, _SEEDS, _WORDS),
    Target("compressed", read_compressed, _SEEDS, _WORDS),
    Target("websocket", serve, _SEEDS, _WORDS),
]
