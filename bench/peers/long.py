"""`python -m bench.peers.long`: minutes at full speed, second by second.

One connection sends pipelined, and another one message at a time. A queue group answers, and so deletes,
every message; or, without readers, the sender fills one mailbox after the other, and the oldest ones end, so
that the disk is not full after a minute. A stream of JetStream, without readers, drops its oldest messages
instead. Look at the slowest second, at the latency beside the load, and at memory and disk.
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
from bench.peers.long_clients import FULL_MAILBOXES, MAILBOX_BYTES, MAX_BACKLOG_BYTES, answer, send
from bench.peers.machine import describe
from bench.peers.nats import Stream, jetstream, keeper, pub
from bench.peers.places import OTHER_CLIENTS, SERVER, WAITING_CLIENT, leave_preferred, prefer, prefer_kernel
from bench.peers.report import table_head, table_line
from bench.peers.rounds import tell
from bench.peers.rows_large import size_name
from bench.peers.servers import Server, mq9fast
from tests.support.wire_client import Wire

ROOT = Path(__file__).parents[2]
SIZES = (1 << 10, 16 << 10)
IDLE_SECONDS = 5
SETUPS = {"mq9fast": mq9fast("interval"), "JetStream": jetstream()}
# Without readers at most the full mailboxes are kept, and the one that is being filled.
KEPT_BYTES = (FULL_MAILBOXES + 1) * MAILBOX_BYTES
HEADS = ["payload", "server", "readers", "seconds", "median", "slowest", "share", "p50 idle", "p99 beside"]
HEADS += ["times", "memory early", "at the end", "messages", "disk early", "most", "at the end"]


def probe(wire: Wire, frame: bytes, latencies: list[float]) -> None:
    """Send one message and wait for its reply."""
    began = time.perf_counter()
    wire.socket.sendall(frame)
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
        kept = keeper(server, wire)
        names = ["bench", "probe"]
        if isinstance(kept, Stream):
            kept.make(names, max_bytes=KEPT_BYTES)
        else:
            kept.make(names)
        frame = pub(kept.subject + "probe", b"x" * 100, b"probed")
        wire.sub("probed", "probed")
        wire.ping()
        idle: list[float] = []
        until = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < until:
            probe(wire, frame, idle)
        works: list[tuple[Callable[..., None], tuple[Any, ...]]] = [(send, (server, size, sent, done, most))]
        works += [(answer, (server, done))] if readers else []
        processes = [multiprocessing.Process(target=work, args=args, daemon=True) for work, args in works]
        for process in processes:
            process.start()
            assert process.pid is not None
            prefer(process.pid, OTHER_CLIENTS)
        prefer(server.pid, SERVER)
        prefer(os.getpid(), WAITING_CLIENT)
        try:
            facts = watch(server, wire, frame, seconds, sent)
            assert all(process.is_alive() for process in processes), "a client has failed"
        finally:
            leave_preferred()
            for process in processes:
                process.kill()
                process.join()
    stored = (sent.value - done.value) * size
    if isinstance(kept, Stream):
        stored = min(stored, KEPT_BYTES)
    elif not readers:
        stored = min(stored, FULL_MAILBOXES * MAILBOX_BYTES + stored % MAILBOX_BYTES)
    return {
        "size": size,
        "readers": readers,
        "idle": statistics.median(idle),
        "stored": stored,
        **facts,
    }


def watch(server: Server, wire: Wire, frame: bytes, seconds: float, sent: Any) -> dict[str, Any]:
    """Send one message after the other until the time is up. Look at everything once a second."""
    rates, memory, disk, beside = [], [], [], []
    before, at, until = sent.value, time.monotonic(), time.monotonic() + seconds
    while at < until:
        prefer_kernel()
        while time.monotonic() < at + 1:
            probe(wire, frame, beside)
        now = time.monotonic()
        rates.append((sent.value - before) / (now - at))
        memory.append(server.rss_bytes())
        disk.append(disk_bytes(server))
        before, at = sent.value, now
    # The first second is not a whole one.
    return {"rates": rates[1:], "memory": memory, "beside": percentile(beside, 0.99), "disk": disk}


def line(facts: dict[str, Any]) -> str:
    median, slowest = statistics.median(facts["rates"]), min(facts["rates"])
    memory, disk = facts["memory"], facts["disk"]
    early = len(memory) // 10
    return table_line(
        [
            size_name(facts["size"]),
            facts["server"],
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


def keep(result: dict[str, Any], place: Path, stem: Path) -> str:
    """Write a result, and the others of the same day, to files. Returns them as a table."""
    facts = {**versions.run(ROOT), "machine": describe(place)}
    found = {}
    with contextlib.suppress(FileNotFoundError):
        earlier = json.loads(stem.with_suffix(".json").read_text())
        found = {kind(each): each for each in earlier["runs"]}
    found[kind(result)] = result
    facts["runs"] = [found[each] for each in sorted(found)]
    text = "\n".join(
        [
            f"# Minutes at full speed, {facts['date']}",
            "",
            f"Commit {facts['commit']}, {facts['machine']['processor']}, `--sync interval`,",
            f"JetStream with its defaults. Without readers the last {FULL_MAILBOXES} mailboxes of",
            f"{MAILBOX_BYTES >> 20} MiB are kept: *messages*.",
            "",
            *table_head(HEADS),
            *(line(each) for each in facts["runs"]),
            "",
        ]
    )
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    stem.with_suffix(".md").write_text(text)
    return text


def kind(facts: dict[str, Any]) -> tuple[int, bool, str]:
    return facts["size"], facts["readers"], facts["server"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.long", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="default: 600; shorter runs are not kept")
    parser.add_argument("--kib", type=int, nargs="*", help="payloads, by default 1 and 16")
    parser.add_argument("--readers", choices=("no", "yes"), help="default: first without, then with readers")
    parser.add_argument("--server", choices=tuple(SETUPS), help="default: one after the other")
    options = parser.parse_args()
    sizes = SIZES if options.kib is None else [each << 10 for each in options.kib]
    readers_of_runs = (False, True) if options.readers is None else (options.readers == "yes",)
    servers = tuple(SETUPS) if options.server is None else (options.server,)
    place = ROOT / "build" / "long"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    directory = ROOT / "bench" / "results" if options.seconds >= parser.get_default("seconds") else place
    for size, readers, name in itertools.product(sizes, readers_of_runs, servers):
        if readers and name != "mq9fast":
            continue
        tell(f"{size_name(size)}, {name}, {'with' if readers else 'without'} readers")
        server = SETUPS[name].start(place / "server")
        try:
            facts = {"server": name, **run(server, size, options.seconds, readers=readers)}
        finally:
            server.end()
            shutil.rmtree(place / "server")
        print(line(facts), flush=True)
        text = keep(facts, place, directory / f"{versions.run(ROOT)['date']}-long")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
