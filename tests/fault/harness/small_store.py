"""A broker whose store has small files: it flushes, compacts and cleans all the time.

Run as `python -m tests.fault.harness.small_store FLAGS`.
"""

import sys

from mq9fast.__main__ import main
from mq9fast.commit import value_cleaner
from mq9fast.storage import rocks, rocks_database, segment

rocks_database.MEMTABLE_BYTES = 192 << 10
rocks.MIN_FLUSH_BYTES = 32 << 10
segment.MIN_SEGMENT_BYTES = segment.MAX_SEGMENT_BYTES = 256 << 10
value_cleaner.MIN_DEAD_BYTES = value_cleaner.MIN_DEAD_BYTES_IN_NEED = 64 << 10

if __name__ == "__main__":
    sys.exit(main())
