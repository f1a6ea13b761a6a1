"""A broker whose RocksDB caches few of the blocks that it read last.

By default it caches up to 32 MiB, also of deleted messages. A soak reaches that after a quarter of an hour,
and memory grows until then. It reaches the small limit in the first minute.

Run as `python -m tests.soak.small_cache FLAGS`.
"""

import sys

from mq9fast.__main__ import main
from mq9fast.storage import rocks_database

rocks_database.BLOCK_CACHE_BYTES = 256 << 10

if __name__ == "__main__":
    sys.exit(main())
