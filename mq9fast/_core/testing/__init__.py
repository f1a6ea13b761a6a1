"""What tests and benchmarks need of the core and a broker does not: C functions called from Python.

A build in place compiles this package. A wheel does not contain it.
"""
