"""Readers of what clients send, compiled with the sanitizer for undefined behaviour, read anything."""

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
LOAD = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location(sys.argv[1], sys.argv[2])
module = module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
"""
PARSE = """
from mq9fast._core.testing.protocol import parse_all
from tests.core.test_undefined_behaviour import LINES
for line in LINES:
    parse_all(line, 1 << 21)
    parse_all(line[:-1], 1 << 21)
print("read all")
"""
READ_FRAMES = """
from random import Random
from mq9fast._core.testing.websocket import ExposedFrameReader
from tests.core.test_undefined_behaviour import SIZES_OF_FRAMES, START_OF_FRAMES
from tests.support.websocket_client import frame
random = Random(1)
for first in START_OF_FRAMES:
    for size in SIZES_OF_FRAMES:
        data = frame(first & 0x7F, random.randbytes(random.randrange(300)), size=size) + random.randbytes(20)
        reader, at = ExposedFrameReader(), 0
        reader.compress(1000)
        while at < len(data):
            step = random.randrange(1, 40)
            reader.feed(data[at : at + step])
            at += step
print("read all")
"""
SIZES_OF_FRAMES = [*range(130), 65535, 65536, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
START_OF_FRAMES = range(256)


def run_sanitized(module: str, script: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Compile a module of the core with the sanitizer, and run a script that uses it."""
    source, library = tmp_path / "module.c", tmp_path / "module.so"
    cython = [sys.executable, "-m", "cython", "-3", "-X", "wraparound=False,cdivision=True,binding=False"]
    subprocess.run([*cython, "-o", source, f"{module.replace('.', '/')}.pyx"], cwd=ROOT, check=True)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    checks = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-fno-sanitize=alignment"]
    flags = ["-shared", "-fPIC", "-O1", "-w", *checks, f"-I{sysconfig.get_path('include')}"]
    subprocess.run([*compiler, *flags, source, "-o", library], check=True)
    return subprocess.run(
        [sys.executable, "-c", LOAD + script, module, library], cwd=ROOT, capture_output=True, text=True
    )


def test_numbers_of_any_length_are_not_undefined_behaviour(tmp_path: Path) -> None:
    answer = run_sanitized("mq9fast._core.protocol.parser", PARSE, tmp_path)
    assert (answer.returncode, answer.stdout) == (0, "read all\n"), answer.stderr


def test_any_frames_are_not_undefined_behaviour(tmp_path: Path) -> None:
    answer = run_sanitized("mq9fast._core.websocket.frame_reader", READ_FRAMES, tmp_path)
    assert (answer.returncode, answer.stdout) == (0, "read all\n"), answer.stderr
