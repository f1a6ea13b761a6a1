"""The limits of one broker that a reload may change; the contract is in limits.pxd."""


cdef class Limits:
    """Created without limits, but for `max_connections` and `max_pending`, which are 0."""
