"""A fault that tests plant: an owner answers requests that need no append also when its lease has run out.

Python imports it at the start of each process that has this directory in PYTHONPATH.
"""

from mq9fast.cluster.lease import Lease

Lease.may_read = lambda self: True  # type: ignore[method-assign]
