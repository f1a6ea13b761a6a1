"""The library that counts branches tells a new path from a known one."""

import ctypes
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import coverage

PROGRAM = """
int used(int number) {
    int sum = 0;
    if (number == 7) sum = 3;
    for (int i = 0; i < number; i++) sum += i;
    return sum;
}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the sanitized core is built on Linux only")
def test_paths_are_new_once(tmp_path: Path) -> None:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    program, counting, library = tmp_path / "program.c", tmp_path / "counting.o", tmp_path / "both.so"
    program.write_text(PROGRAM)
    source = Path(coverage.__file__).with_suffix(".c")
    subprocess.run([*compiler, "-c", "-fPIC", source, "-o", counting], check=True)
    instrument = ["-shared", "-fPIC", "-O0", "-fsanitize-coverage=trace-pc"]
    if subprocess.run([*compiler, *instrument, program, counting, "-o", library]).returncode:
        pytest.skip("this compiler does not count branches")
    loaded = ctypes.CDLL(str(library))

    def is_new(number: int) -> bool:
        loaded.coverage_begin()
        loaded.used(number)
        return bool(loaded.coverage_end() > 0)

    assert [is_new(number) for number in (1, 1, 7, 7, 1, 1000, 1001)] == [
        *(True, False),
        *(True, False, False),
        *(True, False),
    ]
    assert loaded.coverage_edges() > 3
