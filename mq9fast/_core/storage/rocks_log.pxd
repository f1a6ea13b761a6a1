"""Checksums of RocksDB's log format; see rocks_log.pyx."""

from libc.stdint cimport uint32_t


cdef uint32_t checksum(const char* at, Py_ssize_t size) noexcept
cdef uint32_t checksum_by_table(const char* at, Py_ssize_t size) noexcept
