"""Opens a store and closes it again, in a process of its own: then the log is in tables, and there is nothing
to replay for the next opening. rocksdict keeps the interpreter while it opens a store, which may be seconds.
"""

import subprocess
import sys
from pathlib import Path

# A log of less than this is replayed in no time.
WORTH_A_PROCESS_BYTES = 4 << 20


def replay(path: Path, max_files: int, *, compact: bool) -> None:
    """Have the log of the closed store in the directory `path` replayed, if it is long. What goes wrong shows
    when the store is opened."""
    if sum(log.stat().st_size for log in path.glob("*.log")) < WORTH_A_PROCESS_BYTES:
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
    from mq9fast.storage.rocks import open_database

    open_database(Path(sys.argv[1]), int(sys.argv[2]), create=False, compact=sys.argv[3] == "1").close()
