"""A machine with one broker, whose disk, power and clock fail when a fault says so."""

import asyncio
import contextlib
import itertools
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from mq9fast.maintenance.check import check_directory
from mq9fast.storage import layout
from tests.support.broker import Broker
from tests.support.data_directory import change_rows, move_values_to_tables, pretend_reboot
from tests.support.faults.clocks import Clocks
from tests.support.faults.shim import Shim
from tests.support.waiting import wait_until

# Only a restart ends it, once a table could not be read.
LASTING = "compaction is off until a restart"
USERS = ("anna", "bert")
PASSWORD = "secret"
SMALL_STORE = (sys.executable, "-m", "tests.fault.harness.small_store")


class UnsoundDirectoryError(Exception):
    """`mq9fast check` finds something wrong in the directory of a broker that was killed."""


def url_of(port: int, user: str) -> str:
    """The URL with which a user signs in."""
    return f"nats://{user}:{PASSWORD}@127.0.0.1:{port}"


class Machine:
    """Clients sign in as one of USERS. `is_small`: the store has small files, so that it flushes and compacts
    all the time."""

    def __init__(self, directory: Path, *flags: str, is_small: bool) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.shim = Shim(directory, self.data_dir)
        self.clocks = Clocks(directory)
        libraries = f"{self.shim.env['LD_PRELOAD']} {self.clocks.env['LD_PRELOAD']}"
        # Most of a start would be spent on compiling, where Python may write no bytecode beside the sources.
        bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(directory / "bytecode")}
        env = {**self.shim.env, **self.clocks.env, **bytecode, "LD_PRELOAD": libraries}
        config = directory / "users.toml"
        config.write_text("".join(f'[[users]]\nuser = "{user}"\npassword = "{PASSWORD}"\n' for user in USERS))
        self._users = itertools.cycle(USERS)
        fixed = ("--config", str(config), "--monitor-port", "0", "--min-free", "0", *flags)
        command = SMALL_STORE if is_small else None
        self.broker = Broker(self.data_dir, *fixed, env=env, command=command)

    @property
    def urls(self) -> list[str]:
        """The URL of the broker, for another user each time."""
        return [url_of(self.broker.port, next(self._users))]

    @property
    def is_running(self) -> bool:
        return self.broker.process.poll() is None

    async def start(self) -> None:
        """Check the data directory, and start the broker. Raises UnsoundDirectoryError, and AssertionError if
        it does not serve."""
        await asyncio.to_thread(self._check_directory)
        await asyncio.to_thread(self.broker.start)

    def _check_directory(self) -> None:
        """What a fault of the machine leaves is sound for `mq9fast check`, too."""
        report = check_directory(self.data_dir)
        if not report.is_sound:
            raise UnsoundDirectoryError("\n".join(problem.sentence for problem in report.problems))

    async def start_or_fail(self) -> bool:
        """Start the broker under a fault. Returns whether it serves."""
        try:
            await self.start()
        except AssertionError:
            return False
        return True

    async def restart(self, *, kill: bool = True) -> None:
        self.broker.kill() if kill else await asyncio.to_thread(self.broker.stop)
        await self.start()

    def cut_power(self, chance: random.Random | None) -> None:
        """Kill the broker, and leave of its files what a disk has after a power cut."""
        self.broker.kill()
        self.shim.cut_power(lose_names=True, chance=chance)
        if (self.data_dir / "mq9fast.state").exists():
            pretend_reboot(self.data_dir)
            self.shim.has_power_again()

    async def wait_until_killed(self, seconds: float) -> bool:
        """Wait until a rule has killed the broker. Returns whether one did so in time."""
        try:
            await asyncio.to_thread(self.broker.process.wait, seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    async def wait_until_healthy(self) -> None:
        """Wait until /healthz shows no error but one that lasts. Raises AssertionError after a minute."""

        def is_healthy() -> bool:
            error = self.broker.health
            return not error or LASTING in error

        await asyncio.to_thread(wait_until, is_healthy)

    def for_clients(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def end(self) -> None:
        """Kill the broker, and check its log."""
        self.broker.end()

    def kill(self) -> None:
        self.broker.kill()

    def keep(self, to: Path) -> None:
        """Copy the log and the data directory."""
        shutil.copy(self.broker.log, to)
        shutil.copytree(self.data_dir, to / self.data_dir.name)

    def signal(self, number: signal.Signals) -> None:
        self.broker.process.send_signal(number)

    def downgrade(self) -> None:
        """Give the directory of the stopped broker format 3, as earlier versions wrote it: large messages in
        tables."""
        move_values_to_tables(self.data_dir)
        change_rows(self.data_dir, {layout.VERSION_KEY: layout.number(3)})
        self.shim.has_power_again()

    def copy(self, name: str) -> Path:
        """A copy of the data directory."""
        to = self.directory / name
        shutil.rmtree(to, ignore_errors=True)
        return Path(shutil.copytree(self.data_dir, to))
