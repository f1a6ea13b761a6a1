"""Nodes that flush, trim the log and judge it within seconds, where others take minutes.

Python imports it at the start of each process that has this directory in PYTHONPATH.
"""

from mq9fast.cluster import appender, node, replica, upkeep

upkeep.FLUSH_SECONDS = upkeep.TRIM_SECONDS = 0.5  # type: ignore[misc, attr-defined]
node.KEEP_SECONDS = 1.0  # type: ignore[misc, attr-defined]
replica.REGRESSED_SECONDS = appender.REGRESSED_SECONDS = 2.0  # type: ignore[misc, attr-defined]
