"""The parser, compiled with the sanitizer for undefined behaviour, reads numbers of any length."""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIZES = [b"9" * digits for digits in range(8, 42)] + [b"18446744073709551619", b"1" * 1_000_000]
LINES = [
    *(b"PUB s " + size + b"\r\nabc\r\n" for size in SIZES),
    *(b"PUB s r " + size + b"\r\nabc\r\n" for size in SIZES),
    *(b"HPUB s " + size + b" " + size + b"\r\nabc\r\n" for size in SIZES),
    *(b"UNSUB 1 " + size + b"\r\n" for size in SIZES),
    b"PUB s 18446744073709551619 3\r\nabc\r\n",
]
SCRIPT = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("mq9fast._core.protocol.parser", sys.argv[1])
parser = module_from_spec(spec)
spec.loader.exec_module(parser)
sys.modules[spec.name] = parser
from mq9fast._core.testing.protocol import parse_all
from tests.core.test_undefined_behaviour import LINES
for line in LINES:
    parse_all(line, 1 << 21)
    parse_all(line[:-1], 1 << 21)
print("read all")
"""


def test_numbers_of_any_length_are_not_undefined_behaviour(tmp_path: Path) -> None:
    source, library = tmp_path / "parser.c", tmp_path / "parser.so"
    cython = [sys.executable, "-m", "cython", "-3", "-X", "wraparound=False,cdivision=True,binding=False"]
    subprocess.run([*cython, "-o", source, "mq9fast/_core/protocol/parser.pyx"], cwd=ROOT, check=True)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    checks = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-fno-sanitize=alignment"]
    flags = ["-shared", "-fPIC", "-O1", "-w", *checks, f"-I{sysconfig.get_path('include')}"]
    subprocess.run([*compiler, *flags, source, "-o", library], check=True)
    answer = subprocess.run([sys.executable, "-c", SCRIPT, library], cwd=ROOT, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "read all\n"), answer.stderr
