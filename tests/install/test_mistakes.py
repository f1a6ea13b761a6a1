"""First mistakes of an installation: each ends in a sentence that says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def setup(*arguments: str, cwd: Path, program: tuple[str, ...] = ("setup.py",), **env: str) -> str:
    """What a build prints that must fail."""
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "Cythonizing" not in done.stdout
    return done.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source tree that has what a build reads first."""
    for name in ("setup.py", "pyproject.toml", "README.md", "mq9fast"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_no_compiler_is_told_before_anything_is_compiled(source: Path) -> None:
    """The program that CC names is not there, as `cc` is not where there is no compiler."""
    text = setup("bdist_wheel", cwd=source, CC="absent-cc -pthread")
    assert text.startswith("mq9fast is compiled from source here, and there is no C compiler (absent-cc).")
    assert "apt install gcc python3-dev" in text and "A wheel of mq9fast needs none of it" in text


def test_pip_shows_the_sentence_about_the_compiler(source: Path) -> None:
    install = ("-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", str(source))
    done = subprocess.run(
        [sys.executable, *install],
        cwd=source,
        env={**os.environ, "CC": "absent-cc"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "there is no C compiler (absent-cc)" in done.stdout + done.stderr


def test_missing_headers_of_python_are_told(source: Path) -> None:
    without = "import sysconfig, runpy, sys; sysconfig.get_path = lambda *_: '/absent'; "
    program = ("-c", f"{without} sys.argv[:1] = ['setup.py']; runpy.run_path('setup.py')")
    text = setup("bdist_wheel", cwd=source, program=program)
    assert (
        "the headers of Python are missing (/absent/Python.h)" in text
        and "apt install gcc python3-dev" in text
    )


def test_a_source_package_needs_no_compiler(source: Path) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", source],
        cwd=source,
        env={**os.environ, "CC": "absent-cc"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_an_old_python_is_told() -> None:
    code = "import sys; sys.version_info = (3, 9, 18, 'final', 0); import mq9fast"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "ImportError: mq9fast needs Python 3.10 or later, and this is Python 3.9\n" in done.stderr


def test_pip_knows_which_python_is_needed() -> None:
    assert 'requires-python = ">=3.10"' in (ROOT / "pyproject.toml").read_text()
