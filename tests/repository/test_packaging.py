"""The source distribution is complete. `.ci/wheels.py` builds wheels from it."""

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 3600
# Files that the README links to, and files that the tests need.
SHIPPED = (
    "*.md",
    "Makefile",
    "bench/**/*.py",
    "console/*.*",
    "console/src/**/*.*",
    "docs/*",
    ".ci/*",
    ".github/workflows/*",
    "examples/*.py",
    "mq9fast/**/*.p[xy][xdi]",
    "mq9fast/**/*.py",
    "mq9fast/console/*.gz",
    "tests/**/*.py",
    "tests/support/faults/*.[ch]",
    "tests/js/*.mjs",
    "tests/wire/*.wire",
)


def test_source_distribution_is_complete(tmp_path: Path) -> None:
    python = (sys.executable, "-m")
    build = (*python, "build", "--sdist", "--no-isolation", "--outdir", tmp_path, ROOT)
    subprocess.run(build, check=True, capture_output=True, timeout=BUILD_SECONDS)
    (sdist,) = tmp_path.glob("mq9fast-*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    tracked = {str(path.relative_to(ROOT)) for each in SHIPPED for path in ROOT.glob(each)}
    assert tracked - names == set()
    # Only tests use it, and they build it in place.
    assert "mq9fast/_core/testing/__init__.py" in names
    assert not any(name.endswith(".so") or "node_modules" in name for name in names)
    assert not any(name.startswith("mq9fast/") and name.endswith(".c") for name in names)
    assert {"LICENSE", "NOTICE", "SECURITY.md"} <= names
    with tarfile.open(sdist) as packed:
        information = packed.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert information is not None
        assert b"License-Expression: Apache-2.0\n" in information.read()
