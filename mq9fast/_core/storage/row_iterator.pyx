"""An iterator over rows of RocksDB, returned by `scan` of `storage/rocks.py`; see row_iterator.pxd."""


cdef class RowIterator:
    """Iterates over the (key, value) of `iterator`, a RocksDB iterator at its first row, up to the upper
    bound in `options`.

    A RocksDB iterator also stops at a row that it cannot read; only its status tells. RowIterator then raises
    what `failed(first, end, error)` returns: rows from the key `first` on could not be read.
    """

    def __cinit__(
        self, iterator not None, options, bytes first not None, bytes end not None, failed not None
    ):
        self.options = options
        self.end = end
        self.key = iterator.key
        self.value = iterator.value
        self.step = iterator.next
        self.status = iterator.status
        self.first = first
        self.failed = failed
        self.at_row = True

    def __iter__(self):
        return self

    def __next__(self):
        if self.key is None:
            raise StopIteration
        if not self.at_row:
            self.step()
        self.at_row = False
        key = self.key()
        if key is None:
            self.finish()
            raise StopIteration
        self.last_key = key
        return key, self.value()

    cdef int finish(self) except -1:
        """Free the iterator, which pins files and memory of RocksDB. Raises if it stopped at an error."""
        status = self.status
        self.key = self.value = self.step = self.status = None
        try:
            status()
        except Exception as error:
            first = self.first if self.last_key is None else self.last_key + b"\0"
            raise self.failed(first, self.end, error) from error
        return 0
