"""`python -m bench.peers.long`: minutes at full speed, second by second.

One connection sends pipelined, and another one message at a time. A queue group answers, and so deletes,
every message; or, without readers, the sender fills one mailbox after the other, and the oldest ones end, so
that the disk is not full after a minute. Look at the slowest second, at the latency beside the load, and at
memory and disk.
"""

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from ctypes import c_longlong
from pathlib import Path
from typing import Any

from bench.peers import versions
from bench.peers.batches import Batch, batches
from bench.peers.exchange import Window, wait_in_kernel
from bench.peers.machine import describe
from bench.peers.nats import END, JETSTREAM_WINDOW, pub
from bench.peers.payloads import payloads
from bench.peers.places import SERVER, WAITING_CLIENT, leave_preferred, prefer, prefer_kernel
from bench.peers.report import table_head, table_line
from bench.peers.rounds import tell
from bench.peers.rows_large import bounded, size_name
from bench.peers.servers import Server, mq9fast
from bench.peers.workers import SkippingWorker, drain
from tests.support.wire_client import MAILBOX, Wire

ROOT = Path(__file__).parents[2]
SIZES = (1 << 10, 16 << 10)
MEMBERS = 2
IDLE_SECONDS = 5
# Without readers: what a mailbox takes before the next one is filled, and how many full ones are kept.
MAILBOX_BYTES = 512 << 20
FULL_MAILBOXES = 4
# A name is used again when its mailbox has long ended.
NAMES = 16
# Seconds that an ended mailbox has still to live, the least that CREATE accepts.
ENDED_TTL = 1
# The sender waits while the readers are this far behind.
MAX_BACKLOG_BYTES = 1 << 30
PROBE = pub(MAILBOX + "MSG.probe", b"x" * 100, b"probed")
HEADS = ["payload", "readers", "seconds", "median", "slowest", "share", "p50 idle", "p99 beside", "times"]
HEADS += ["memory early", "at the end", "messages", "disk early", "most", "at the end"]


class SteadyWindow(Window):
    """Sends for ever, but waits while `sent` is more than `most` ahead of `done`, unless `most` is 0.

    `sent` counts the replies; other processes read it. `next_batch` returns what is sent next.
    """

    def __init__(
        self, wire: Wire, next_batch: Callable[[], Batch], window: int, sent: Any, done: Any, most: int
    ) -> None:
        super().__init__(wire.socket, [b""], 1, END, window)
        self.batches = iter(next_batch, None)
        self.batch = next(self.batches)
        self.left = self.unsent = 1 << 60
        self.first = self.left
        self.sent, self.done, self.most = sent, done, most

    def take(self) -> bool:
        super().take()
        self.sent.value = self.first - self.left
        while self.most and self.sent.value - self.done.value > self.most:
            time.sleep(0.001)
        return True


class Turns:
    """Gives batches for one mailbox until it is full, then for the next one, and ends the oldest one.

    `control`: creates the mailboxes and ends them. `full`: messages of a full mailbox.
    """

    def __init__(self, control: Wire, size: int, window: int) -> None:
        self.control, self.full, self.given = control, MAILBOX_BYTES // size, 0
        names = [f"bench.{n}" for n in range(NAMES)]
        self.names = itertools.cycle(names)
        self.batches = {
            name: itertools.cycle(batches(frames_for(name, size), 1, window // 4)) for name in names
        }
        self.filled: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.name = next(self.names)
        created = self.control.create(name=self.name, ttl=0)
        assert created["is_new"], f"{self.name} still exists"
        self.given = 0

    def next_batch(self) -> Batch:
        if self.given >= self.full:
            self.filled.append(self.name)
            if len(self.filled) > FULL_MAILBOXES:
                oldest = self.filled.pop(0)
                stored = self.control.create(name=oldest, ttl=ENDED_TTL)
                assert not stored["is_new"], f"{oldest} has ended before its time"
            self.begin()
        batch = next(self.batches[self.name])
        self.given += batch.count
        return batch


class CountingWorker(SkippingWorker):
    """A member that counts its messages for other processes."""

    counter: Any

    def read(self) -> None:
        before = self.done
        super().read()
        self.counter.value += self.done - before


def frames_for(name: str, size: int) -> list[bytes]:
    return [pub(f"{MAILBOX}MSG.{name}", body, b"acks") for body in payloads(size)]


def send(port: int, size: int, sent: Any, done: Any, most: int) -> None:
    """Send to the mailbox `bench`, or if `most` is 0, to one mailbox after the other."""
    with Wire(port) as wire, Wire(port) as control:
        wire.sub("acks", "acks")
        wire.ping()
        count = bounded(JETSTREAM_WINDOW, size)
        if most:
            cycle = itertools.cycle(batches(frames_for("bench", size), 1, count // 4))
            next_batch: Callable[[], Batch] = cycle.__next__
        else:
            next_batch = Turns(control, size, count).next_batch
        window = SteadyWindow(wire, next_batch, count, sent, done, most)
        wait_in_kernel(wire.socket)
        window.feed()
        while window.take():
            pass


def answer(port: int, done: Any) -> None:
    members = [Wire(port) for _ in range(MEMBERS)]
    for member in members:
        member.subscribe("bench", queue="workers")
    workers = [CountingWorker(member) for member in members]
    for worker in workers:
        worker.counter = done
    drain(workers, 1 << 60, lambda: False)


def probe(wire: Wire, latencies: list[float]) -> None:
    """Send one message and wait for its reply."""
    began = time.perf_counter()
    wire.socket.sendall(PROBE)
    wire.message()
    latencies.append(time.perf_counter() - began)


def disk_bytes(server: Server) -> int:
    # Segments are deleted meanwhile.
    found = 0
    for file in server.place.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            found += file.stat().st_blocks * 512
    return found


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def run(server: Server, size: int, seconds: float, *, readers: bool) -> dict[str, Any]:
    """One run: the replies in each second, latencies in seconds, memory and disk in bytes."""
    sent, done = (multiprocessing.Value(c_longlong, 0, lock=False) for _ in range(2))
    most = MAX_BACKLOG_BYTES // size if readers else 0
    with Wire(server.port) as wire:
        for name in ("bench", "probe"):
            wire.create(name=name)
        wire.sub("probed", "probed")
        wire.ping()
        idle: list[float] = []
        until = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < until:
            probe(wire, idle)
        works: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (send, (server.port, size, sent, done, most))
        ]
        works += [(answer, (server.port, done))] if readers else []
        processes = [multiprocessing.Process(target=work, args=args, daemon=True) for work, args in works]
        for process in processes:
            process.start()
        prefer(server.pid, SERVER)
        prefer(os.getpid(), WAITING_CLIENT)
        try:
            facts = watch(server, wire, size, seconds, sent, done, readers=readers)
            assert all(process.is_alive() for process in processes), "a client has failed"
        finally:
            leave_preferred()
            for process in processes:
                process.kill()
                process.join()
    return {"size": size, "readers": readers, "idle": statistics.median(idle), **facts}


def watch(
    server: Server, wire: Wire, size: int, seconds: float, sent: Any, done: Any, *, readers: bool
) -> dict[str, Any]:
    """Probe the broker until the time is up. Look at everything once a second."""
    rates, memory, disk, beside = [], [], [], []
    before, at, until = sent.value, time.monotonic(), time.monotonic() + seconds
    while at < until:
        prefer_kernel()
        while time.monotonic() < at + 1:
            probe(wire, beside)
        now = time.monotonic()
        rates.append((sent.value - before) / (now - at))
        memory.append(server.rss_bytes())
        disk.append(disk_bytes(server))
        before, at = sent.value, now
    stored = (sent.value - done.value) * size
    if not readers:
        stored = min(stored, FULL_MAILBOXES * MAILBOX_BYTES + stored % MAILBOX_BYTES)
    # The first second is not a whole one.
    return {
        "rates": rates[1:],
        "memory": memory,
        "beside": percentile(beside, 0.99),
        "stored": stored,
        "disk": disk,
    }


def line(facts: dict[str, Any]) -> str:
    median, slowest = statistics.median(facts["rates"]), min(facts["rates"])
    memory, disk = facts["memory"], facts["disk"]
    early = len(memory) // 10
    return table_line(
        [
            size_name(facts["size"]),
            "yes" if facts["readers"] else "no",
            str(len(memory)),
            f"{median:,.0f}/s",
            f"{slowest:,.0f}/s",
            f"{slowest / median:.2f}",
            f"{facts['idle'] * 1e6:.0f} µs",
            f"{facts['beside'] * 1e6:,.0f} µs",
            f"{facts['beside'] / facts['idle']:.1f}",
            *(
                f"{each / 1e6:,.0f} MB"
                for each in (memory[early], memory[-1], facts["stored"], disk[early], max(disk), disk[-1])
            ),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.long", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="default: 600; shorter runs are not kept")
    parser.add_argument("--kib", type=int, nargs="*", help="payloads, by default 1 and 16")
    parser.add_argument("--readers", choices=("no", "yes"), help="default: first without, then with readers")
    options = parser.parse_args()
    sizes = SIZES if options.kib is None else [each << 10 for each in options.kib]
    readers_of_runs = (False, True) if options.readers is None else (options.readers == "yes",)
    place = ROOT / "build" / "long"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    found = []
    for size, readers in itertools.product(sizes, readers_of_runs):
        tell(f"{size_name(size)}, {'with' if readers else 'without'} readers")
        server = mq9fast("interval").start(place / "server")
        try:
            found.append(run(server, size, options.seconds, readers=readers))
        finally:
            server.end()
            shutil.rmtree(place / "server")
        print(line(found[-1]), flush=True)
    facts = {**versions.run(ROOT), "machine": describe(place), "seconds": options.seconds, "runs": found}
    directory = ROOT / "bench" / "results" if options.seconds >= parser.get_default("seconds") else place
    stem = directory / f"{facts['date']}-long"
    text = "\n".join(
        [
            f"# Minutes at full speed, {facts['date']}",
            "",
            f"Commit {facts['commit']}, {facts['machine']['processor']}, `--sync interval`. Without readers",
            f"the last {FULL_MAILBOXES} mailboxes of {MAILBOX_BYTES >> 20} MiB are kept: *messages*.",
            "",
            *table_head(HEADS),
            *(line(each) for each in found),
            "",
        ]
    )
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    stem.with_suffix(".md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
