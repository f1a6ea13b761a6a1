"""Compile the modules of mq9fast/_core; everything else is in pyproject.toml.

MQ9FAST_TESTING=1 also compiles `_core/testing`, which only tests and benchmarks use; no wheel contains it.
MQ9FAST_DEBUG=1 builds with assertions, which mq9fast/_core/base/check.pxd describes.
MQ9FAST_SANITIZE=1 builds with the sanitizers for addresses and undefined behaviour, and counts branches.
MQ9FAST_ANNOTATE=1 writes Cython's HTML beside each source.

In a build in place a warning of Cython is an error.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

IN_PLACE = "--inplace" in sys.argv or "editable_wheel" in sys.argv
DEBUG = os.environ.get("MQ9FAST_DEBUG") == "1"
TESTING = os.environ.get("MQ9FAST_TESTING") == "1"
PROCESSES = os.cpu_count() or 1
SANITIZE = os.environ.get("MQ9FAST_SANITIZE") == "1"
OPTIMIZE = ["-O0", "-g"] if DEBUG else ["-O3", "-g0", *(["-fno-plt"] if sys.platform == "linux" else [])]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"] if SANITIZE else []
# Python's own flags let integers wrap, which would hide an overflow.
COUNT_BRANCHES = "-fsanitize-coverage=trace-pc"  # for tests/fuzz/coverage.c
INSTRUMENT = ["-O1", "-g1", "-fno-omit-frame-pointer", "-fno-wrapv", COUNT_BRANCHES, *SANITIZERS]
PACKAGES = "apt install gcc python3-dev, dnf install gcc python3-devel, or xcode-select --install"
# What only asks for names and files compiles nothing, and needs no compiler.
COMPILES = not {"egg_info", "dist_info", "sdist", "clean"} & set(sys.argv)


def missing_tool() -> str:
    """What keeps the core from being compiled here, and how to get it; "" if nothing is missing."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler}). Install one ({PACKAGES})"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        return f"the headers of Python are missing ({header}). Install them ({PACKAGES})"
    return ""


if sys.platform == "win32":
    sys.exit("mq9fast does not run on Windows yet: it needs fcntl and POSIX signals. Use WSL or a container")
if COMPILES and (missing := missing_tool()):
    sys.exit(f"mq9fast is compiled from source here, and {missing}. A wheel of mq9fast needs none of it")

# A release of Cython with new warnings must not keep users from building.
Options.warning_errors = IN_PLACE

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        extra_compile_args=[*OPTIMIZE, *(INSTRUMENT if SANITIZE else []), "-fno-strict-aliasing"],
        extra_link_args=SANITIZERS,
        define_macros=[] if DEBUG else [("CYTHON_WITHOUT_ASSERTIONS", "1")],
    )
    for path in sorted(Path("mq9fast/_core").rglob("*.pyx"))
    if TESTING or "testing" not in path.parts
]

setup(
    options={
        "build_ext": {"parallel": PROCESSES},
        # A wheel contains whatever its build directory contains, so a build in place uses another one.
        "build": {"build_base": "build/in-place" if IN_PLACE else "build"},
    },
    ext_modules=[]
    if not COMPILES
    else cythonize(
        extensions,
        nthreads=PROCESSES,
        annotate=os.environ.get("MQ9FAST_ANNOTATE") == "1",
        compiler_directives={
            "language_level": "3",
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
        emit_linenums=DEBUG,
    ),
)
