"""CRC-32C, the checksum of RocksDB's log and of the value log.

It uses the processor's instruction on three streams at once where there is one, because the instruction has a
latency of three cycles. Elsewhere it uses tables.
"""

from libc.stdint cimport uint32_t


cdef uint32_t crc32c(const char* at, Py_ssize_t size) noexcept nogil
cdef uint32_t crc32c_by_table(const char* at, Py_ssize_t size) noexcept nogil
