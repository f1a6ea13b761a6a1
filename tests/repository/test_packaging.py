"""The package builds from its source distribution, without files of this tree."""

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
    "docs/*",
    "examples/*.py",
    "mq9fast/**/*.p[xy][xdi]",
    "mq9fast/**/*.py",
    "tests/**/*.py",
    "tests/support/faults/*.[ch]",
    "tests/js/*.mjs",
    "tests/wire/*.wire",
)


def test_source_distribution_builds_and_runs(tmp_path: Path) -> None:
    python = (sys.executable, "-m")
    build = (*python, "build", "--sdist", "--no-isolation", "--outdir", tmp_path, ROOT)
    subprocess.run(build, check=True, capture_output=True, timeout=BUILD_SECONDS)
    (sdist,) = tmp_path.glob("mq9fast-*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    tracked = {str(path.relative_to(ROOT)) for each in SHIPPED for path in ROOT.glob(each)}
    assert tracked - names == set()
    assert not any(name.endswith(".so") for name in names)
    assert not any(name.startswith("mq9fast/") and name.endswith(".c") for name in names)
    installed = tmp_path / "installed"
    install = (*python, "pip", "install", "--no-build-isolation", "--no-deps", "--target", installed, sdist)
    subprocess.run(install, check=True, capture_output=True, timeout=BUILD_SECONDS)
    # Only tests use it, and they build it in place.
    assert "mq9fast/_core/testing/__init__.py" in names
    assert not (installed / "mq9fast" / "_core" / "testing").exists()
    (licences,) = installed.glob("mq9fast-*.dist-info/licenses")
    assert {path.name for path in licences.iterdir()} == {"LICENSE", "NOTICE"}
    assert "License-Expression: Apache-2.0\n" in (licences.parent / "METADATA").read_text()
    script = "import mq9fast, mq9fast._core.session as s; print(mq9fast.__file__, s.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True
    )
    assert done.stderr == b""
    assert done.stdout.decode().count(str(installed)) == 2
