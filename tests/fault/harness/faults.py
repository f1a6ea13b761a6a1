"""What can go wrong with a broker, its machine and its disk: each fault happens in the middle of the work.

A fault is a function of a `Scene`. It returns when the broker serves again.
"""

import asyncio
import errno
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fault.harness.at_rest import damage_a_copy
from tests.fault.harness.machine import Machine
from tests.fault.harness.run import Kind
from tests.fault.harness.workload import Workload
from tests.fault.history.history import History
from tests.support.faults.shim import KILL, Rule

# Of the write-ahead log, the value log, tables, the manifest, and the broker's own files.
FILES = ("*.log", "*.log", "*.seg", "*.sst", "MANIFEST-*", "mq9fast.*")
# How long a broker may take to come to the call at which it is killed, and to the first one of that kind.
# After that it is killed wherever it is.
POINT_SECONDS = 1.5
FIRST_CALL_SECONDS = 0.3
# So many messages are purged in several steps.
PURGED = 400


@dataclass
class Scene:
    """What a fault acts on. `stop`: set it to end the work of the clients."""

    machine: Machine
    history: History
    workload: Workload
    chance: random.Random
    stop: asyncio.Event

    async def work(self, seconds: float = 0.2) -> None:
        """Let the clients work for a random time."""
        await asyncio.sleep(self.chance.uniform(0.02, seconds))

    def kill_at(self, *calls: str, skip: int = 8, pattern: str = "") -> Rule:
        """Kill the broker at one of its next calls."""
        call = self.chance.choice(calls)
        return self.machine.shim.fail(
            call, pattern or self.chance.choice(FILES), KILL, skip=self.chance.randint(0, skip), most=1
        )


async def kill(scene: Scene) -> None:
    await scene.work()
    with scene.history.fault("kill"):
        await scene.machine.restart()


async def end(scene: Scene) -> None:
    await scene.work()
    with scene.history.fault("end"):
        await scene.machine.restart(kill=False)


async def power(scene: Scene) -> None:
    await scene.work()
    with scene.history.fault("power"):
        scene.machine.cut_power(scene.chance)
        await scene.machine.start()


async def kill_at_call(scene: Scene) -> None:
    """Before a write, between write and fsync, or after the fsync and before the reply."""
    await _kill_at(scene, "kill", scene.kill_at("write", "written", "fsync", "synced"))


async def power_at_call(scene: Scene) -> None:
    await _kill_at(scene, "power", scene.kill_at("write", "written", "fsync", "synced", "rename", "unlink"))


async def kill_in_flush(scene: Scene) -> None:
    """While RocksDB writes a table: with a small store, that is all the time."""
    pattern = scene.chance.choice(("*.sst", "*.sst", "MANIFEST-*"))
    rule = scene.kill_at("open", "write", "written", "fsync", "synced", "unlink", skip=3, pattern=pattern)
    await _kill_at(scene, scene.chance.choice(("kill", "power")), rule)


async def kill_in_expiry(scene: Scene) -> None:
    """While messages and mailboxes expire, and their rows are purged."""
    async with await scene.workload.connect("expiring") as client:
        for number in range(3):
            address = f"{client.name}.{number}"
            await client.create(address, ttl=1)
            await asyncio.gather(*(client.msg(address) for _ in range(60)))
    await asyncio.sleep(scene.chance.uniform(0.9, 1.1))
    await _kill_at(
        scene, "kill", scene.kill_at("write", "written", "fsync", "synced", skip=12, pattern="*.log")
    )


async def kill_in_purge(scene: Scene) -> None:
    """While a mailbox that has ended is purged row by row, for dead letters and receipts."""
    dead, receipts = scene.workload.address("dead"), scene.workload.address("receipts")
    async with await scene.workload.connect("ending") as client:
        options = {"dead_letter": dead, "dead_letter_expired": True, "receipts_to": receipts}
        address = f"{client.name}.0"
        await client.create(address, ttl=1, **options)
        await asyncio.gather(*(client.msg(address) for _ in range(PURGED)))
    await asyncio.sleep(1)
    # Each step begins after the fsync of the one before.
    with scene.machine.shim.failing("fsync", "*.log", wait=0.03):
        rule = scene.kill_at("write", "written", "fsync", "synced", skip=20, pattern="*.log")
        await _kill_at(scene, scene.chance.choice(("kill", "power")), rule)


async def kill_in_upgrade(scene: Scene) -> None:
    """While the broker raises the format of a directory that an earlier version wrote."""
    await scene.work()
    kind = scene.chance.choice(("kill", "power"))
    with scene.history.fault(kind):
        await asyncio.to_thread(scene.machine.broker.stop)
        await asyncio.to_thread(scene.machine.downgrade)
        rule = scene.kill_at(
            "open", "write", "written", "fsync", "synced", "rename", "unlink", skip=30, pattern="*"
        )
        served = await scene.machine.start_or_fail()
        rule.end()
        if kind == "power":
            scene.machine.cut_power(scene.chance)
        await scene.machine.restart() if served else await scene.machine.start()


async def _kill_at(scene: Scene, kind: str, rule: Rule) -> None:
    with scene.history.fault(kind):
        killed = await scene.machine.wait_until_killed(FIRST_CALL_SECONDS)
        if not killed and rule.seen:
            await scene.machine.wait_until_killed(POINT_SECONDS - FIRST_CALL_SECONDS)
        rule.end()
        if kind == "power":
            scene.machine.cut_power(scene.chance)
        await scene.machine.restart()


async def kill_in_close(scene: Scene) -> None:
    await scene.work()
    kind = scene.chance.choice(("kill", "power"))
    with scene.history.fault(kind):
        rule = scene.kill_at("open", "write", "written", "fsync", "synced", "rename", "unlink", skip=4)
        scene.machine.signal(signal.SIGTERM)
        await scene.machine.wait_until_killed(10)
        rule.end()
        if kind == "power":
            scene.machine.cut_power(scene.chance)
        await scene.machine.restart()


async def kill_in_open(scene: Scene) -> None:
    """Killed, or cut off, again and again while it starts."""
    await scene.work()
    with scene.history.fault("power"):
        scene.machine.broker.kill()
        for _ in range(scene.chance.randint(1, 3)):
            cuts = scene.chance.random() < 0.5
            if cuts:
                scene.machine.cut_power(scene.chance)
            rule = scene.kill_at("open", "write", "written", "fsync", "synced", "rename", "unlink", skip=4)
            served = await scene.machine.start_or_fail()
            rule.end()
            scene.machine.broker.kill() if served else None
        await scene.machine.start()


async def failing_disk(scene: Scene) -> None:
    """Some writes and fsyncs fail for a while: no space, or errors."""
    call = scene.chance.choice(("write", "write", "fsync", "ftruncate", "open", "rename"))
    error = scene.chance.choice((errno.EIO, errno.ENOSPC))
    await _failing(scene, call, scene.chance.choice(FILES), error)


async def failing_reads(scene: Scene) -> None:
    await _failing(scene, "read", scene.chance.choice(("*.sst", "*.seg")), errno.EIO)


async def no_descriptors(scene: Scene) -> None:
    await _failing(scene, "open", scene.chance.choice(("*.sst", "*.seg", "*")), errno.EMFILE)


async def _failing(scene: Scene, call: str, pattern: str, error: int) -> None:
    share = scene.chance.choice((0.05, 0.3, 1))
    with scene.history.fault("error", f"{errno.errorcode[error]} of {share:.0%} of {call} {pattern}"):
        with scene.machine.shim.failing(call, pattern, error, share=share, seed=scene.chance.randrange(1000)):
            await scene.work(0.8)
        await scene.machine.wait_until_healthy()


async def failing_fsync_and_cut(scene: Scene) -> None:
    """An fsync fails, and soon the power too."""
    pattern = scene.chance.choice(("*.log", "*.seg", "*.sst", "MANIFEST-*"))
    with scene.history.fault("power", f"after a failed fsync of {pattern}"):
        with scene.machine.shim.failing("fsync", pattern, errno.EIO, share=0.5, most=3):
            await scene.work(0.6)
            scene.machine.cut_power(scene.chance)
        await scene.machine.start()


async def no_lock(scene: Scene) -> None:
    """The file system gives no locks when the broker starts."""
    await scene.work()
    with scene.history.fault("kill"):
        scene.machine.broker.kill()
        with scene.machine.shim.failing("lock", "*", errno.ENOLCK):
            assert not await scene.machine.start_or_fail(), "started without a lock"
        await scene.machine.start()


async def slow_disk(scene: Scene) -> None:
    pattern = scene.chance.choice(("*.log", "*.seg", "*"))
    with (
        scene.history.fault("error", "slow fsync"),
        scene.machine.shim.failing("fsync", pattern, wait=scene.chance.uniform(0.02, 0.4)),
    ):
        await scene.work(1.5)


async def stopped(scene: Scene) -> None:
    """The process stands still for a while: SIGSTOP."""
    await scene.work()
    with scene.history.fault("stop"):
        scene.machine.signal(signal.SIGSTOP)
        await asyncio.sleep(scene.chance.uniform(0.1, 1.5))
        scene.machine.signal(signal.SIGCONT)


async def clock_step(scene: Scene) -> None:
    """Someone sets the clock, once while the broker runs and once before a restart."""
    await scene.work()
    with scene.history.fault("clock"):
        scene.machine.clocks.step_wall(scene.chance.choice((-86400, -3, 3, 86400, 3e7)))
    await scene.work()
    with scene.history.fault("kill"):
        await scene.machine.restart()


async def damaged_at_rest(scene: Scene) -> None:
    """A bit flips, or a file is missing or short: a copy shows what the broker says then."""
    await scene.work()
    with scene.history.fault("end"):
        await asyncio.to_thread(scene.machine.broker.stop)
        sound = scene.machine.copy("sound")
        await scene.machine.start()
    scene.stop.set()
    await damage_a_copy(sound, scene.workload, scene.chance)


Inject = Callable[[Scene], Awaitable[None]]
FAULTS: dict[str, Inject] = {
    "kill": kill,
    "kill at a call": kill_at_call,
    "kill in a flush": kill_in_flush,
    "kill in expiry": kill_in_expiry,
    "kill in a purge": kill_in_purge,
    "kill in an upgrade": kill_in_upgrade,
    "kill in close": kill_in_close,
    "kill in open": kill_in_open,
    "power cut": power,
    "power cut at a call": power_at_call,
    "failed fsync and power cut": failing_fsync_and_cut,
    "SIGTERM": end,
    "SIGSTOP": stopped,
    "clock step": clock_step,
    "EIO or ENOSPC": failing_disk,
    "EIO of reads": failing_reads,
    "EMFILE": no_descriptors,
    "ENOLCK": no_lock,
    "slow fsync": slow_disk,
    "damage at rest": damaged_at_rest,
}


def _start(directory: Path, chance: random.Random) -> Machine:
    return Machine(directory, is_small=chance.random() < 0.7)


BROKER = Kind("fault", _start, Scene, FAULTS)
