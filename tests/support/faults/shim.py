"""System calls of a broker that fail or wait when the test says so, and power cuts.

shim = Shim(tmp_path)
broker = start_broker(env=shim.env)
with shim.failing("pread", "*.sst", errno.EIO):
    ...
"""

import contextlib
import itertools
import mmap
import random
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.faults.power import Fsynced

CALLS = {
    name: 1 << bit
    for bit, names in enumerate(
        (
            ("read", "pread"),
            ("write", "pwrite", "pwritev"),
            ("fsync", "fdatasync"),
            ("open",),
            ("statvfs",),
            ("lock",),
            ("rename",),
            ("ftruncate",),
            ("unlink",),
            ("thread",),
            ("written",),
            ("synced",),
        )
    )
    for name in names
}
# As struct rule in shim.c.
RULES = 32
RULE = struct.Struct("=iiiiqqqii208s")
SEEN_OFFSET = 32
# As an error: the broker is killed instead.
KILL = -1
MILLION = 1_000_000


@cache
def library() -> Path:
    """The library to preload, compiled once for all tests of this process."""
    source = Path(__file__).with_name("shim.c")
    built = Path(tempfile.mkdtemp(prefix="mq9fast-shim-")) / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl", "-lpthread"], check=True)
    return built


class Rule:
    """A rule for some calls on some files. It applies from its creation until `end`."""

    def __init__(self, rules: mmap.mmap, number: int, *values: int | bytes) -> None:
        self._rules = rules
        self._at = number * RULE.size
        RULE.pack_into(rules, self._at, 0, *values)
        struct.pack_into("=i", rules, self._at, 1)

    @property
    def seen(self) -> int:
        """The number of calls that it matched, including those that it let through."""
        return int(struct.unpack_from("=q", self._rules, self._at + SEEN_OFFSET)[0])

    def end(self) -> None:
        """Let these calls through again."""
        struct.pack_into("=i", self._rules, self._at, 0)


class Shim:
    """The environment variables for brokers, and the rules that apply to all of them.

    With `watched`, a data directory, the shim keeps a copy of what the broker fsynced there, for `cut_power`.
    """

    def __init__(self, tmp_path: Path, watched: Path | None = None) -> None:
        rules = tmp_path / "shim-rules"
        rules.write_bytes(bytes(RULES * RULE.size))
        with rules.open("r+b") as file:
            self._rules = mmap.mmap(file.fileno(), 0)
        self._numbers = itertools.count()
        self.env = {"LD_PRELOAD": str(library()), "FAULT_RULES": str(rules)}
        self._fsynced: Fsynced | None = None
        if watched is not None:
            kept = tmp_path / "shim-fsynced"
            kept.mkdir(exist_ok=True)
            self._fsynced = Fsynced(watched, kept)
            self._fsynced.keep_all()
            self.env |= {"FAULT_WATCHED": str(watched.resolve()), "FAULT_FSYNCED": str(kept)}

    def fail(
        self,
        call: str,
        pattern: str,
        error: int = 0,
        *,
        wait: float = 0,
        skip: int = 0,
        most: int = 0,
        share: float = 0,
        seed: int = 0,
    ) -> Rule:
        """Make calls fail with the errno `error`, or, if that is 0, delay them by `wait` seconds.

        `call`: one of CALLS; "read" is pread and fread as well, "write" is pwrite and pwritev, "thread" is a
        new thread, which has no file. `pattern`: as in a shell, of the file's name,
        or of its path if the pattern contains a slash. The rule lets the first `skip` matching calls through,
        and applies to the next `most` calls, or to all further calls if `most` is 0. `share`: of these, it
        applies only to this part, chosen by the seed. The error KILL ends the broker by SIGKILL: before the
        call, or, for the calls "written" and "synced", after a write or an fsync that has succeeded.
        """
        chosen = int(share * MILLION), seed
        values = (CALLS[call], error, int(wait * 1000), skip, most, 0, *chosen, pattern.encode())
        return Rule(self._rules, next(self._numbers) % RULES, *values)

    @contextlib.contextmanager
    def failing(self, call: str, pattern: str, error: int = 0, **more: float) -> Iterator[Rule]:
        """`fail`, until the end of the `with` block."""
        rule = self.fail(call, pattern, error, **more)  # type: ignore[arg-type]
        try:
            yield rule
        finally:
            rule.end()

    def cut_power(self, *, lose_names: bool = False, chance: random.Random | None = None) -> None:
        """Restore every watched file to its last fsync. A file that was never fsynced becomes empty.

        `lose_names`: undo also what was done in directories since their last fsync: files created, renamed
        and unlinked. The broker must be dead. `chance`: a disk has some of what was not fsynced, at random.
        """
        assert self._fsynced is not None
        if lose_names or chance is not None:
            self._fsynced.restore(chance)
        else:
            self._fsynced.restore_contents()

    def has_power_again(self) -> None:
        """Treat everything in the directory as fsynced: a test has changed it."""
        assert self._fsynced is not None
        self._fsynced.keep_all()
