"""Fuzzes one target in a process of its own: python -m tests.fuzz.worker NAME SEED SECONDS RECORD

Prints runs, kept inputs and edges. `python -m tests.fuzz` starts it, and explains its end.
"""

import os
import sys
from pathlib import Path

from tests.fuzz.fuzzer import Record, fuzz
from tests.fuzz.targets import find_target

# A terabyte of address space is what AddressSanitizer reserves; anything else must do with this.
MAX_BYTES = 4 << 30


def limit_memory() -> None:
    """Let an input that asks for endless memory fail, instead of the machine."""
    import resource

    if "libasan" not in os.environ.get("LD_PRELOAD", ""):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))


def main(name: str, seed: str, seconds: str, record: str) -> None:
    limit_memory()
    print(*fuzz(find_target(name), int(seed), float(seconds), Record(Path(record))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
