"""`python -m bench.peers.beside`: how long a client that sends one message at a time waits beside another one
that sends as fast as it can, to mq9fast and to JetStream.

Nobody reads the messages. Server and waiting client run before the sender: see places.py.
"""

import argparse
import itertools
import multiprocessing
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from bench.peers.batches import batches
from bench.peers.exchange import Window, wait_in_kernel
from bench.peers.long import percentile
from bench.peers.nats import END, JETSTREAM_WINDOW, jetstream, keeper, pub
from bench.peers.payloads import payloads
from bench.peers.places import OTHER_CLIENTS, SERVER, WAITING_CLIENT, leave_preferred, prefer, prefer_kernel
from bench.peers.report import table_head, table_line
from bench.peers.rounds import tell
from bench.peers.rows_large import bounded, size_name
from bench.peers.servers import Server, Setup, mq9fast
from tests.support.wire_client import Wire

ROOT = Path(__file__).parents[2]
SIZES = (1 << 10, 16 << 10)
HEADS = ["payload", "server", "beside", "p50 idle", "p50", "p99", "p99 / p50 idle"]
IDLE_SECONDS = 2


def send(server: Server, size: int) -> None:
    """Send to the name `bench` for ever."""
    with Wire(server.port) as wire:
        subject = keeper(server, wire).subject + "bench"
        wire.sub("acks", "acks")
        wire.ping()
        window = bounded(JETSTREAM_WINDOW, size)
        frames = [pub(subject, body, b"acks") for body in payloads(size)]
        work = Window(wire.socket, frames, 1, END, window)
        work.batches = itertools.cycle(batches(frames, 1, window // 4))
        work.batch, work.left, work.unsent = next(work.batches), 1 << 60, 1 << 60
        wait_in_kernel(wire.socket)
        work.feed()
        while work.take():
            pass


def waits(wire: Wire, frame: bytes, seconds: float) -> list[float]:
    """Send one message after the other. Returns how long each reply took, in seconds."""
    found = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        wire.socket.sendall(frame)
        wire.message()
        found.append(time.perf_counter() - began)
    return found


def measure(setup: Setup, size: int, seconds: float, place: Path) -> str:
    server = setup.start(place / "server")
    sender = multiprocessing.Process(target=send, args=(server, size), daemon=True)
    try:
        with Wire(server.port) as wire:
            kept = keeper(server, wire)
            kept.make(["bench", "probe"])
            wire.sub("probed", "probed")
            wire.ping()
            frame = pub(kept.subject + "probe", b"x" * 100, b"probed")
            idle = waits(wire, frame, IDLE_SECONDS)
            before = kept.stored(["bench", "probe"])
            sender.start()
            prefer_kernel()
            assert sender.pid is not None
            prefer(sender.pid, OTHER_CLIENTS)
            prefer(server.pid, SERVER)
            prefer(os.getpid(), WAITING_CLIENT)
            beside = waits(wire, frame, seconds)
            sent = kept.stored(["bench", "probe"]) - before - len(beside)
            assert sender.is_alive(), "the sender has failed"
    finally:
        leave_preferred()
        sender.kill()
        server.end()
        shutil.rmtree(place)
    p50, p99 = percentile(beside, 0.5), percentile(beside, 0.99)
    middle = statistics.median(idle)
    times = [f"{each * 1e6:,.0f} µs" for each in (middle, p50, p99)]
    return table_line(
        [size_name(size), setup.name, f"{sent / seconds:,.0f}/s", *times, f"{p99 / middle:.1f}"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.beside", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    place = ROOT / "build" / "beside"
    shutil.rmtree(place, ignore_errors=True)
    print("\n".join(table_head(HEADS)), flush=True)
    for size, number, setup in itertools.product(
        SIZES, range(options.rounds), (mq9fast("interval"), jetstream())
    ):
        tell(f"{size_name(size)}, round {number + 1}, {setup.name}")
        place.mkdir(parents=True)
        print(measure(setup, size, options.seconds, place), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
