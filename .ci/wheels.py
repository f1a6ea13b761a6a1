"""Builds a source package, and wheels of it for Linux, into dist/: `make wheels`.

zig compiles, for the machine and the C library asked for, so that no container and no cross compiler is
needed. `auditwheel show` then checks what a wheel really needs. Releases come from cibuildwheel instead, in
.github/workflows/release.yml, which has every platform.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "wheels"
DIST = ROOT / "dist"
# What zig compiles against, the platform in the tag, and an older name that older pips know instead.
LIBCS = {
    "glibc": ("gnu.2.17", "manylinux_2_17", "manylinux2014"),
    "musl": ("musl", "musllinux_1_2", ""),
}
ASK = (
    "import json, sys, sysconfig as s; print(json.dumps(["
    "'%d.%d' % sys.version_info[:2], s.get_config_var('SOABI'), s.get_path('include'),"
    "s.get_config_var('MULTIARCH')]))"
)


class Target(NamedTuple):
    """What to build for. `libc`: one of LIBCS."""

    machine: str
    libc: str

    @property
    def of_zig(self) -> str:
        return f"{self.machine}-linux-{LIBCS[self.libc][0]}"

    @property
    def tag(self) -> str:
        return f"{LIBCS[self.libc][1]}_{self.machine}"

    @property
    def tags(self) -> str:
        old = LIBCS[self.libc][2]
        return f"{self.tag}.{old}_{self.machine}" if old else self.tag

    def suffix(self, python: "Python") -> str:
        """The end of an extension module's name. Before 3.11, interpreters on musl look for `-gnu` too."""
        minor = int(python.version.partition(".")[2])
        libc = "musl" if self.libc == "musl" and minor >= 11 else "gnu"
        return f".{python.abi}-{self.machine}-linux-{libc}.so"


class Python(NamedTuple):
    """An interpreter to build for. `abi`: such as cpython-311. `multiarch`: Debian's folder of headers."""

    program: str
    version: str
    abi: str
    include: str
    multiarch: str


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--pythons", nargs="*", default=[], help="interpreters to build for (default: this one)"
    )
    options.add_argument("--machines", nargs="+", default=["x86_64", "aarch64"], help="machines to build for")
    options.add_argument(
        "--libcs", nargs="+", choices=LIBCS, default=["glibc"], help="C libraries to build for"
    )
    chosen = options.parse_args()
    DIST.mkdir(exist_ok=True)
    for old in DIST.glob("mq9fast-*"):
        old.unlink()
    source = unpack(build_sdist())
    take_generated(source)
    targets = [Target(machine, libc) for libc in chosen.libcs for machine in chosen.machines]
    for python in map(ask, chosen.pythons or [sys.executable]):
        for target in targets:
            wheel = build_wheel(python, target, source)
            audit(wheel, target)
            print(f"{wheel.relative_to(ROOT)}  {wheel.stat().st_size >> 10} KiB", flush=True)


def build_sdist() -> Path:
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", DIST, ROOT)
    (sdist,) = DIST.glob("mq9fast-*.tar.gz")
    return sdist


def unpack(sdist: Path) -> Path:
    """Unpack the source package: a wheel is built from it, and not from this tree."""
    shutil.rmtree(WORK / "source", ignore_errors=True)
    with tarfile.open(sdist) as packed:
        packed.extractall(WORK / "source")
    (source,) = (WORK / "source").iterdir()
    return source


def take_generated(source: Path) -> None:
    """Take the C that Cython has generated in this tree, if the unpacked sources of the core are those of the
    tree. Cython generates it again where it is older than a source, or that of another version of Cython."""
    cores = [folder / "mq9fast" / "_core" for folder in (ROOT, source)]
    own, packed = (
        {path.relative_to(core): path.read_bytes() for path in core.rglob("*.p[xy][xd]")} for core in cores
    )
    if own != packed:
        return
    for path in cores[0].rglob("*.c"):
        # Only a debug build names the lines of the sources.
        if "testing" not in path.parts and b"\n#line " not in path.read_bytes():
            shutil.copy2(path, cores[1] / path.relative_to(cores[0]))


def ask(program: str) -> Python:
    found = subprocess.run([program, "-c", ASK], check=True, capture_output=True, text=True)
    version, soabi, include, multiarch = json.loads(found.stdout)
    return Python(program, version, "-".join(soabi.split("-")[:2]), include, multiarch or "")


def build_wheel(python: Python, target: Target, source: Path) -> Path:
    """Build one wheel, and give it the tag that `audit` checks."""
    includes = headers(python, target.machine)
    compiler = f"{sys.executable} -m ziglang cc -target {target.of_zig} -w {includes}"
    libraries = named_musl(compiler, target.machine) if target.libc == "musl" else ""
    made = WORK / "made"
    # A wheel contains whatever its build directory contains, such as modules for another C library.
    for old in (made, source / "build"):
        shutil.rmtree(old, ignore_errors=True)
    run(
        builder(python),
        *("setup.py", "-q", "bdist_wheel", "--dist-dir", made),
        cwd=source,
        CC=compiler,
        LDSHARED=f"{compiler} -shared {libraries}",
        LDFLAGS="-s",
        # What setuptools takes for the machine, instead of asking the interpreter.
        _PYTHON_HOST_PLATFORM=f"linux-{target.machine}",
        SETUPTOOLS_EXT_SUFFIX=target.suffix(python),
    )
    (wheel,) = made.glob("*.whl")
    run(sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", target.tags, wheel)
    (tagged,) = made.glob("*.whl")
    return tagged.rename(DIST / tagged.name)


def named_musl(compiler: str, machine: str) -> str:
    """Flags that link with musl by the name that wheels use for it; zig would say libc.so."""
    folder = WORK / "musl" / machine
    folder.mkdir(parents=True, exist_ok=True)
    source, library = folder / "empty.c", folder / "libmusl.so"
    source.write_text("char mq9fast_empty;")
    name = f"libc.musl-{machine}.so.1"
    run(*compiler.split(), "-shared", "-nostdlib", f"-Wl,-soname,{name}", "-o", library, source)
    return f"-nostdlib -lcompiler_rt -Wl,--gc-sections,--no-as-needed -L{folder} -lmusl"


def builder(python: Python) -> str:
    """An interpreter of this version with the build tools of pyproject.toml."""
    if python.program == sys.executable:
        return sys.executable
    environment = WORK / f"python{python.version}"
    program = environment / "bin" / "python"
    if not program.exists():
        run(python.program, "-m", "venv", environment)
        requires = next(
            line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "requires = " in line
        )
        run(program, "-m", "pip", "install", "-q", *json.loads(requires.partition("=")[2]))
    return str(program)


def headers(python: Python, machine: str) -> str:
    """Flags for Debian's Python, whose pyconfig.h includes that of the machine from a folder of its name.

    All 64-bit Linux machines have the same one.
    """
    if not python.multiarch:
        return ""
    folder = WORK / "headers" / f"{machine}-linux-gnu" / f"python{python.version}"
    folder.mkdir(parents=True, exist_ok=True)
    own = Path(python.include).parent / python.multiarch / f"python{python.version}" / "pyconfig.h"
    if own.exists():
        shutil.copy(own, folder)
    return f"-I{WORK / 'headers'}"


def audit(wheel: Path, target: Target) -> None:
    """Check that the wheel needs no newer libc and no other library, and has nothing that is for tests."""
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", wheel], check=True, capture_output=True, text=True
    ).stdout
    text = " ".join(shown.split())
    if f'following platform tag: "{target.tag}"' not in text or "libraries are required" in text:
        sys.exit(f"{wheel.name} does not keep the promise of {target.tag}:\n{shown}")
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "wheel", "unpack", "--dest", folder, wheel)
        extra = [
            path for path in Path(folder).rglob("*") if path.parent.name == "testing" or path.suffix == ".c"
        ]
        if not any(Path(folder).glob("*/mq9fast/console/index.html.gz")):
            sys.exit(f"{wheel.name} does not contain the console")
        licences = {path.name for path in Path(folder).glob("*/*.dist-info/licenses/*")}
    if extra or licences != {"LICENSE", "NOTICE"}:
        sys.exit(f"{wheel.name} has files that only tests use: {extra}, and these licences: {licences}")


def run(*command: str | Path, cwd: Path = ROOT, **env: str) -> None:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout.decode('utf-8', 'replace')}")


if __name__ == "__main__":
    main()
