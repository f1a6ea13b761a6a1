"""An iterator over rows of RocksDB, returned by the scans of `storage/rocks.py`; see row_iterator.pxd."""

from mq9fast._core.storage.value_reader cimport ValueReader


cdef class RowIterator:
    """Iterates over the (key, value) of `iterator`, a RocksDB iterator at its first row, up to the upper
    bound in `options`; or, if it goes `backward`, from its last row down to the one with the key `first`.

    A RocksDB iterator also stops at a row that it cannot read; only its status tells. RowIterator then raises
    what `failed(first, end, error)` returns: the rows from the key `first` up to but not `end` were not read.
    `values` reads the values that are in the value log; with None, the rows have their value pointers.
    """

    def __cinit__(
        self, iterator not None, options, bytes first not None, bytes end not None, failed not None,
        ValueReader values,
        bint backward=False,
    ):
        self.values = values
        self.options = options
        self.end = end
        self.key = iterator.key
        self.value = iterator.value
        self.step = iterator.prev if backward else iterator.next
        self.backward = backward
        self.status = iterator.status
        self.first = first
        self.failed = failed
        self.at_row = True

    def __iter__(self):
        return self

    def __next__(self):
        if self.key is None:
            raise StopIteration
        if self.backward and self.last_key == self.first:
            key = None
        else:
            if not self.at_row:
                self.step()
            self.at_row = False
            key = self.key()
        if key is None:
            self.finish()
            raise StopIteration
        value = self.value()
        if self.values is not None:
            try:
                value = self.values.resolve(value)
            except Exception as error:
                self.key = self.value = self.step = self.status = None
                first, end = (self.first, key + b"\0") if self.backward else (key, self.end)
                raise self.failed(first, end, error) from error
        self.last_key = key
        return key, value

    cdef int finish(self) except -1:
        """Free the iterator, which pins files and memory of RocksDB. Raises if it stopped at an error."""
        status = self.status
        self.key = self.value = self.step = self.status = None
        try:
            status()
        except Exception as error:
            first, end = self.first, self.end
            if self.last_key is not None:
                first, end = (first, self.last_key) if self.backward else (self.last_key + b"\0", end)
            raise self.failed(first, end, error) from error
        return 0
