"""Large payloads of plain messages, which output borrows from the read buffer, arrive whole and in order."""

import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.tls_wire import TlsWire
from tests.support.wire_client import Wire, read_messages

# Around the least that is borrowed, and up to several reads.
SIZES = (0, 1, 100, 8191, 8192, 8193, 16384, 65536, 300_000, 700_000)


def bodies(count: int, seed: str) -> list[bytes]:
    """Different payloads of these sizes, in a random order."""
    chosen = random.Random(seed)
    return [chosen.randbytes(size) for size in chosen.choices(SIZES, k=count)]


def publish(wire: Wire, subject: str, payloads: Sequence[bytes]) -> threading.Thread:
    """Publish all in one go, in a thread."""
    frames = [b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(body), body) for body in payloads]
    thread = threading.Thread(target=wire.send, args=(b"".join(frames),))
    thread.start()
    return thread


def expect(wire: Wire, payloads: Sequence[bytes]) -> None:
    received = read_messages(wire)
    for number, body in enumerate(payloads):
        assert next(received).payload == body, number


@pytest.mark.parametrize("seed", range(3))
def test_every_receiver_gets_every_payload(broker: Broker, address: str, seed: int) -> None:
    payloads = bodies(150, f"{seed}")
    with Wire(broker.port) as sender, Wire(broker.port) as one, Wire(broker.port) as other:
        # The sender receives as well: its output borrows from its own input.
        for receiver in (one, other, sender):
            receiver.sub(address)
            receiver.ping()
        sending = publish(sender, address, payloads)
        readers = [threading.Thread(target=expect, args=(each, payloads)) for each in (one, other)]
        for reader in readers:
            reader.start()
        expect(sender, payloads)
        for thread in (sending, *readers):
            thread.join()
        for each in (one, other):
            each.ping()
            assert not each.received


def test_receiver_that_reads_later_gets_every_payload(broker: Broker, address: str) -> None:
    """Its socket takes a part of a payload: the rest is copied before the read buffer is used again."""
    payloads = bodies(150, "later")
    with Wire(broker.port) as sender, Wire(broker.port, receive_bytes=4096) as receiver:
        receiver.sub(address)
        receiver.ping()
        sending = publish(sender, address, payloads)
        # Something else uses the read buffer meanwhile.
        with Wire(broker.port) as third:
            for _ in range(20):
                third.pub("nobody", b"?" * 100_000)
                third.ping()
        expect(receiver, payloads)
        sending.join()


def test_receiver_over_tls_gets_every_payload(
    start_broker: Callable[..., Broker], certificates: Certificates, address: str
) -> None:
    flags = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    broker = start_broker(*flags)
    payloads, context = bodies(60, "tls"), certificates.client_context()
    with TlsWire(broker.port, context) as sender, TlsWire(broker.port, context) as receiver:
        receiver.sub(address)
        receiver.ping()
        sending = publish(sender, address, payloads)
        expect(receiver, payloads)
        sending.join()


def test_receiver_that_breaks_off_disturbs_nobody(broker: Broker, address: str) -> None:
    payloads = [b"x" * 16384] * 600
    with Wire(broker.port) as sender, Wire(broker.port) as receiver:
        receiver.sub(address)
        receiver.ping()
        for _ in range(10):
            broken = Wire(broker.port)
            broken.sub(address)
            broken.ping()
            sending = publish(sender, address, payloads)
            broken.socket.recv(100_000)
            # It closes with a reset.
            broken.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            broken.close()
            expect(receiver, payloads)
            sending.join()
        sender.ping()


def test_slow_receiver_is_disconnected(start_broker: Callable[..., Broker], address: str) -> None:
    broker = start_broker("--max-pending", "65536", "--monitor-port", "0")
    with Wire(broker.port) as sender, Wire(broker.port, receive_bytes=4096) as receiver:
        receiver.sub(address)
        receiver.ping()
        publish(sender, address, [b"x" * 16384] * 1000).join()
        assert receiver.closed()
        assert broker.metric("mq9fast_slow_consumers_total") == 1
        sender.ping()
