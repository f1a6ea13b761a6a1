"""Replays a long write-ahead log of a closed store into tables, in a process of its own.

Opening a store with a long log takes seconds, and rocksdict holds the GIL for that time. So
`RocksStore.reopen` calls `replay` before it opens the store itself. The child process opens the store and
closes it again.
"""

import subprocess
import sys
from pathlib import Path

# A shorter log is replayed faster than a process starts.
MIN_LOG_BYTES = 4 << 20


def replay(path: Path, max_files: int, *, compact: bool) -> None:
    """Replay the log of the closed store in the directory `path` if it is long.

    Errors are ignored: the caller meets them when it opens the store. `max_files`, `compact`: as for
    `open_database`.
    """
    if sum(log.stat().st_size for log in path.glob("*.log")) < MIN_LOG_BYTES:
        return
    arguments = ("-m", "mq9fast.storage.replay", str(path.absolute()), str(max_files), str(int(compact)))
    subprocess.run(  # noqa: S603 (this interpreter and module)
        (sys.executable, *arguments),
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    from mq9fast.storage.rocks_database import open_database

    open_database(Path(sys.argv[1]), int(sys.argv[2]), create=False, compact=sys.argv[3] == "1").close()
