"""Compile the modules of mq9fast/_core; everything else is in pyproject.toml.

MQ9FAST_TESTING=1 also compiles `_core/testing`, which only tests and benchmarks use; no wheel contains it.
MQ9FAST_DEBUG=1 builds with assertions, which mq9fast/_core/base/check.pxd describes.
MQ9FAST_ANNOTATE=1 writes Cython's HTML beside each source.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

IN_PLACE = "--inplace" in sys.argv or "editable_wheel" in sys.argv
DEBUG = os.environ.get("MQ9FAST_DEBUG") == "1"
TESTING = os.environ.get("MQ9FAST_TESTING") == "1"
PROCESSES = os.cpu_count() or 1
OPTIMIZE = ["-O0", "-g"] if DEBUG else ["-O3", "-g0", "-fno-plt"]

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        extra_compile_args=[*OPTIMIZE, "-fno-strict-aliasing"],
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
    ext_modules=cythonize(
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
