"""Nodes of a later version of mq9fast: they write records and stores in the next format, and read both.

Python imports it at the start of each process that has this directory in PYTHONPATH.
"""

from mq9fast.cluster import record, seeding, transfer_server

record.FORMAT += 1  # type: ignore[misc]
seeding.FORMAT_VERSION = transfer_server.FORMAT_VERSION = seeding.FORMAT_VERSION + 1  # type: ignore[misc, attr-defined]
