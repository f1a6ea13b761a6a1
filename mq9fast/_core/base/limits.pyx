"""The limits of one broker; see limits.pxd."""


cdef class Limits:
    """Created without limits, but for `max_connections` and `max_pending`, which are 0."""
