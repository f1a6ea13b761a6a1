"""Freed memory that the process keeps."""

import subprocess
import sys

import pytest

# Prints the page faults of allocating and freeing 8 MiB, in blocks of 1 MiB, a hundred times.
PROGRAM = """
import resource, sys
from mq9fast._core.base.heap_memory import keep_freed_memory, trim_memory

def blocks():
    return [b"x" * (1 << 20) for _ in range(8)]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        blocks()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024

before = faults()
kept = keep_freed_memory()
blocks()
after = faults()
resident = resident_kib()
trim_memory()
print(int(kept), before, after, resident - resident_kib())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_that_is_kept_costs_no_page_faults_until_it_is_trimmed() -> None:
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    ).stdout
    kept, before, after, trimmed_kib = map(int, output.split())
    if not kept:
        pytest.skip("the C library is not glibc")
    assert after < before / 10
    assert trimmed_kib > 4 << 10
