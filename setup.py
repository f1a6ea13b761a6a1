"""Compile every module of mq9fast/_core; everything else is in pyproject.toml.

MQ9FAST_DEBUG=1 builds with assertions, which mq9fast/_core/base/check.pxd describes.
MQ9FAST_ANNOTATE=1 writes Cython's HTML beside each source.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("MQ9FAST_DEBUG") == "1"
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
]

setup(
    options={"build_ext": {"parallel": PROCESSES}},
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
