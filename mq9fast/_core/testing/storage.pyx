"""The storage and the commit package, called from Python."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from mq9fast._core.base cimport crc32c as checksums
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.commit_group cimport CommitGroup


def crc32c(bytes data not None, bint table=False) -> int:
    """The CRC-32C of `data`. `table`: compute it without the processor's instruction."""
    if table:
        return checksums.crc32c_by_table(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    return checksums.crc32c(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


def set_max_row_index_bytes(Accumulator accumulator not None, Py_ssize_t limit) -> None:
    """Limit the memory for rows that deletions have looked up (`RowIndex`), in bytes."""
    accumulator.group.deletes.index.max_bytes = limit


def clear(CommitGroup group not None) -> None:
    """Empty a group, as the accumulator does before it uses the group again."""
    group.clear()
