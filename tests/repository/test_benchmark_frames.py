"""The benchmark's client finds the messages that it receives, however they are cut."""

import random
import socket
import threading

from bench.peers.frames import MIN_DROPPED_BYTES, Messages

SIZES = [0, 5, 20_000, MIN_DROPPED_BYTES - 2, MIN_DROPPED_BYTES, MIN_DROPPED_BYTES + 1, 200_000]
PIECES = [1, 3, 50, 1000, 100_000]
COUNT = 60


class Noted(Messages):
    """Keeps the reply subjects."""

    def __init__(self, connection: socket.socket, count: int) -> None:
        super().__init__(connection, count)
        self.names: list[bytes] = []

    def receive(self, flags: int = 0) -> list[bytes]:
        names = super().receive(flags)
        self.names += names
        return names


def test_frames_are_found_and_payloads_are_skipped() -> None:
    chance = random.Random(1)
    frames = b""
    for number in range(COUNT):
        frames += chance.choice([b"", b"PING\r\n", b"HMSG pulled 1 10 10\r\nNATS/1.0\r\n\r\n"])
        size = chance.choice(SIZES)
        # A payload may look like a frame.
        payload = (b"MSG a 1 b 5\r\n" * (size // 13 + 1))[:size]
        frames += b"MSG a 1 reply.%d %d\r\n%b\r\n" % (number, size, payload)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        sender, _ = server.accept()

    def send() -> None:
        at = 0
        while at < len(frames):
            size = chance.choice(PIECES)
            sender.sendall(frames[at : at + size])
            at += size

    thread = threading.Thread(target=send)
    with client, sender:
        thread.start()
        messages = Noted(client, COUNT)
        while messages.take():
            pass
        thread.join()
    assert messages.names == [b"reply.%d" % number for number in range(COUNT)]
