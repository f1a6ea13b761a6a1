"""A short soak: clients of all kinds come and go, others are served, and nothing of them is left."""

import sys
from pathlib import Path

import pytest

from tests.soak.site import GAUGES, Sample, Site
from tests.soak.soak import NOISE_BYTES, growth, soak
from tests.support.certificates import Certificates

SEED = 15
SECONDS = 4.0
HELD = Sample(100 << 20, 50, 9, dict.fromkeys(GAUGES, 0))


@pytest.mark.skipif(sys.platform != "linux", reason="it reads memory and threads in /proc")
# Clients that break off leave their sockets to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_left_of_clients_that_came_and_went(tmp_path: Path, certificates: Certificates) -> None:
    print(f"make soak SEED={SEED}")
    site = Site(tmp_path, certificates)
    try:
        report = soak(site, SEED, [SECONDS, SECONDS])
    finally:
        site.broker.end()
    assert growth(*report.samples) == []
    assert report.served > 0
    assert report.rounds["random_bytes"] > 0


@pytest.mark.parametrize(
    ("last", "grown"),
    [
        (HELD, []),
        (HELD._replace(rss_bytes=HELD.rss_bytes + NOISE_BYTES + 1), ["memory: 100 MiB became 108 MiB"]),
        (HELD._replace(descriptors=59), ["descriptors: 50 became 59"]),
        (HELD._replace(threads=14), ["threads: 9 became 14"]),
        (HELD._replace(gauges={**HELD.gauges, "mailboxes": 1}), ["mailboxes: 0 became 1"]),
    ],
)
def test_growth_is_found(last: Sample, grown: list[str]) -> None:
    assert growth(HELD, last) == grown


def test_memory_may_grow_if_it_does_not_count() -> None:
    assert growth(HELD, HELD._replace(rss_bytes=HELD.rss_bytes * 9), memory=False) == []
