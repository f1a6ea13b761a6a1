"""One child process that ends when this process does, however that ends (on Linux)."""

import asyncio
import contextlib
import ctypes
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """A program that runs until `stop`, or until it ends by itself. `status` is negative after a signal."""

    def __init__(
        self, command: list[str], log: Path | None = None, env: dict[str, str] | None = None
    ) -> None:
        """`log`: the file to which its standard error goes, instead of that of this process. `env`: its
        environment, instead of that of this process."""
        self.command = command
        self._env = env
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the program. Raises OSError."""
        # Without the signal of the parent's end, children of a killed parent go on: that loses nothing.
        preexec = _die_with_parent if sys.platform == "linux" else None
        with contextlib.ExitStack() as files:
            errors = None if self._log is None else files.enter_context(self._log.open("ab"))
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=errors,
                env=self._env,
                preexec_fn=preexec,
            )

    async def ended(self) -> int:
        """Wait until it has ended; returns its status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, seconds: float) -> None:
        """Send SIGTERM, and after so many seconds SIGKILL. Does nothing if it does not run."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
