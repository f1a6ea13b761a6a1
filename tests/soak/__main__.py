"""Soak a broker: python -m tests.soak [--seconds 600] [--seed N] [--no-memory]

Samples are taken after a tenth of the time, after the half, and in the end. `make soak` fails if memory,
descriptors, threads or counters grew between the first and the last.
"""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.soak.site import Site
from tests.soak.soak import growth, soak
from tests.support.certificates import Certificates

STEPS = (0.1, 0.4, 0.5)
# What is shown of the broker's log after a failure.
LOG_CHARACTERS = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--no-memory", action="store_true", help="memory may grow: AddressSanitizer keeps what was freed"
    )
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        site = Site(Path(directory), Certificates(Path(directory)))
        try:
            if not options.no_memory:
                site.fill_closed_connections()
            report = soak(
                site, seed, [options.seconds * step for step in STEPS], lambda text: print(text, flush=True)
            )
        except BaseException:
            print(site.broker.log.read_text(errors="replace")[-LOG_CHARACTERS:])
            raise
        finally:
            site.broker.end()
    print(f"{report.rounds}\nserved {report.served} times, in {report.longest * 1000:.0f} ms at the longest")
    grown = growth(report.samples[0], report.samples[-1], memory=not options.no_memory)
    print("\n".join(grown) or "nothing grew")
    return int(bool(grown))


if __name__ == "__main__":
    sys.exit(main())
