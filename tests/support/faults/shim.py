"""Storage that lies: system calls of a broker that fail or wait when a test says so, and power cuts.

shim = Shim(tmp_path)
broker = start_broker(env=shim.env)
with shim.failing("pread", "*.sst", errno.EIO):
    ...
"""

import contextlib
import itertools
import mmap
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CALLS = {
    name: 1 << bit
    for bit, names in enumerate(
        (
            ("read", "pread"),
            ("write", "pwrite"),
            ("fsync", "fdatasync"),
            ("open",),
            ("statvfs",),
            ("lock",),
            ("rename",),
            ("ftruncate",),
            ("unlink",),
        )
    )
    for name in names
}
# As struct rule in shim.c.
RULES = 32
RULE = struct.Struct("=iiiiqqq216s")
SEEN_OFFSET = 32


@cache
def library() -> Path:
    """The library that is preloaded, compiled once for all tests of this process."""
    source = Path(__file__).with_name("shim.c")
    built = Path(tempfile.mkdtemp(prefix="mq9fast-shim-")) / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl", "-lpthread"], check=True)
    return built


class Rule:
    """Some calls on some files; in force from its making until `end`."""

    def __init__(self, rules: mmap.mmap, number: int, *values: int | bytes) -> None:
        self._rules = rules
        self._at = number * RULE.size
        RULE.pack_into(rules, self._at, 0, *values)
        struct.pack_into("=i", rules, self._at, 1)

    @property
    def seen(self) -> int:
        """How many calls it matched, those that it let go through included."""
        return int(struct.unpack_from("=q", self._rules, self._at + SEEN_OFFSET)[0])

    def end(self) -> None:
        """Let these calls go through again."""
        struct.pack_into("=i", self._rules, self._at, 0)


class Shim:
    """The environment for brokers, and the rules that hold for all of them.

    With `watched`, a data directory, the broker remembers what it fsynced there for `cut_power`.
    """

    def __init__(self, tmp_path: Path, watched: Path | None = None) -> None:
        rules = tmp_path / "shim-rules"
        rules.write_bytes(bytes(RULES * RULE.size))
        with rules.open("r+b") as file:
            self._rules = mmap.mmap(file.fileno(), 0)
        self._numbers = itertools.count()
        self.env = {"LD_PRELOAD": str(library()), "FAULT_RULES": str(rules)}
        self._watched = watched
        self._fsynced = tmp_path / "shim-fsynced"
        if watched is not None:
            self._fsynced.mkdir()
            self._keep_all(watched)
            self.env |= {"FAULT_WATCHED": str(watched.resolve()), "FAULT_FSYNCED": str(self._fsynced)}

    def fail(
        self, call: str, pattern: str, error: int = 0, *, wait: float = 0, skip: int = 0, most: int = 0
    ) -> Rule:
        """Have calls fail with the errno `error`, or go on after `wait` seconds if that is 0.

        `call`: one of CALLS; "read" is pread and fread as well. `pattern`: as in a shell, of the file's name,
        or of its path if there is a slash in it. The first `skip` matching calls go through, and those after
        `most` more unless that is 0.
        """
        values = (CALLS[call], error, int(wait * 1000), skip, most, 0, pattern.encode())
        return Rule(self._rules, next(self._numbers) % RULES, *values)

    @contextlib.contextmanager
    def failing(self, call: str, pattern: str, error: int = 0, **more: float) -> Iterator[Rule]:
        """`fail` until the end of the block."""
        rule = self.fail(call, pattern, error, **more)  # type: ignore[arg-type]
        try:
            yield rule
        finally:
            rule.end()

    def cut_power(self, *, lose_names: bool = False) -> None:
        """Put every watched file back to its last fsync. The broker is dead.

        A file that was never fsynced is empty. `lose_names`: one whose directory was not fsynced since it was
        made or got its name is gone.
        """
        assert self._watched is not None
        for path in self._watched.rglob("*"):
            if not path.is_file():
                continue
            if lose_names and path.name not in self._names(path.parent):
                path.unlink()
                continue
            copy = self._copy(path)
            # In place: what is open keeps its inode, and a link shows the same.
            path.write_bytes(copy.read_bytes() if copy.exists() else b"")

    def _copy(self, path: Path) -> Path:
        return self._fsynced / str(path.stat().st_ino)

    def _names(self, directory: Path) -> list[str]:
        copy = self._copy(directory)
        return copy.read_text().splitlines() if copy.exists() else []

    def _keep_all(self, watched: Path) -> None:
        """What was there before is durable."""
        if not watched.exists():
            return
        for path in (watched, *watched.rglob("*")):
            if path.is_dir():
                self._copy(path).write_text("".join(f"{entry.name}\n" for entry in path.iterdir()))
            else:
                shutil.copyfile(path, self._copy(path))
