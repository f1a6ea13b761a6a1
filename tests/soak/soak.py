"""Churn for some time, and what is left of it: the broker must hold in the end what it held early."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from tests.soak.churn import ROUNDS
from tests.soak.site import Sample, Site
from tests.soak.witness import Witness

CLIENTS = 6
# The store keeps memtables of up to 4 MiB, and the heap has gaps.
NOISE_BYTES = 8 << 20
NOISE_DESCRIPTORS = 8
NOISE_THREADS = 4


class Report(NamedTuple):
    """Rounds by name, what the witness saw, and the samples."""

    rounds: dict[str, int]
    served: int
    longest: float
    samples: list[Sample]


def churn(site: Site, seed: str, seconds: float) -> Counter[str]:
    """Let clients come and go. Returns how many rounds of each kind were done."""
    done: Counter[str] = Counter()
    problems: list[str] = []
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        while time.monotonic() < end and not problems:
            chosen = chance.choice(ROUNDS)
            try:
                # Clients compete for mailboxes, and some are cut off in the middle.
                with suppress(ConnectionError, EOFError):
                    chosen(site, chance)
            except Exception as error:
                problems.append(f"{chosen.__name__}: {error!r}")
            done[chosen.__name__] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems
    return done


def soak(site: Site, seed: int, seconds: list[float], tell: Callable[[str], None] = print) -> Report:
    """Churn for each of `seconds`, with a sample after each. AssertionError if a client was not served."""
    done: Counter[str] = Counter()
    samples, served, longest = [], 0, 0.0
    for number, some in enumerate(seconds):
        witness = Witness(site.port)
        witness.start()
        done += churn(site, f"{seed} {number}", some)
        witness.end()
        served, longest = served + witness.served, max(longest, witness.longest)
        samples.append(site.sample())
        tell(f"after {sum(seconds[: number + 1]):.0f} s: {samples[-1]}")
    return Report(dict(done), served, longest, samples)


def growth(first: Sample, last: Sample, *, memory: bool = True) -> list[str]:
    """What the broker holds more of than before; nothing if it leaks nothing. `memory`: it counts, too."""
    found = [
        f"{name}: {before} became {after}"
        for name, before, after, noise in (
            ("descriptors", first.descriptors, last.descriptors, NOISE_DESCRIPTORS),
            ("threads", first.threads, last.threads, NOISE_THREADS),
            *((name, first.gauges[name], last.gauges[name], 0) for name in first.gauges),
        )
        if after > before + noise
    ]
    if memory and last.rss_bytes > first.rss_bytes + NOISE_BYTES:
        found.append(f"memory: {first.rss_bytes >> 20} MiB became {last.rss_bytes >> 20} MiB")
    return found
