"""Rows of a store, read one after the other; see rows.pxd."""


cdef class Rows:
    """Iterates over `rows`, and keeps `owner`, which they point into, for as long.

    What goes wrong with them is raised as `failure`, an exception class. A generator would do the same, and
    cost as much again as reading a row.
    """

    def __cinit__(self, rows not None, owner, failure not None):
        self.rows = rows
        self.owner = owner
        self.failure = failure

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self.rows)
        except StopIteration:
            raise
        except Exception as error:
            raise self.failure(str(error)) from error
