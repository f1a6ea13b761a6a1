"""Keeps broker time running across restarts, and follows the wall clock.

While a broker runs, broker time advances with a clock that nobody can set: the time since the machine booted.
The broker saves broker time, that clock and the wall clock together, every few seconds, in the file
`mq9fast.clock`. A start adds the time that has passed since. If the machine has booted meanwhile, only the
wall clock measures that, and counts unless it is implausible.

`server/broker.py` creates one `Timekeeper`; `server/housekeeping.py` calls its `tick`. This module writes
that file only, in a thread.
"""

import asyncio
import logging
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mq9fast._core.base.broker_time import BrokerTime, read_wall_ms
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.storage.broker_state import boot_id
from mq9fast.storage.state_file import CLOCK_FILE, StateFile

log = logging.getLogger("mq9fast.clock")

# If the broker seems to have been down for longer, the wall clock is probably wrong.
MAX_DOWN_MS = 366 * 24 * 3600 * 1000
# Smaller steps of the wall clock are not logged: NTP makes them all the time.
MIN_STEP_MS = 1000
# If reading the two clocks takes longer, the process was suspended in between. Their difference means
# nothing.
MAX_READING_MS = 50
# Smaller differences are rounding errors: both clocks count whole milliseconds.
MIN_DIFFERENCE_MS = 10
SAVE_SECONDS = 5.0
# A step of the clock that is not durable yet is saved again after this time.
RETRY_SECONDS = 1.0
# The fault that /healthz shows while the time cannot be saved.
CLOCK = "clock"


class Uptime(NamedTuple):
    """The milliseconds since the machine booted, and the id of this boot."""

    ms: int
    boot_id: bytes


def read_uptime(boot: str) -> Uptime | None:
    """`boot`: the id of this boot. None where the system does not tell one of the two."""
    if not hasattr(time, "CLOCK_BOOTTIME") or not boot:
        return None
    return Uptime(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000, boot.encode())


class SavedTime(NamedTuple):
    """Broker time and the clocks at one moment, in milliseconds. Wall time counts from 1970."""

    broker_ms: int
    wall_ms: int
    uptime: Uptime | None = None

    def pack(self) -> bytes:
        """The bytes in the file."""
        clocks = _CLOCKS.pack(self.broker_ms, self.wall_ms)
        return clocks if self.uptime is None else clocks + _UPTIME.pack(*self.uptime)


_CLOCKS = struct.Struct(">QQ")
_UPTIME = struct.Struct(">Q36s")


def unpack_saved(stored: bytes | None) -> SavedTime | None:
    """The time in the file. Earlier versions did not save the uptime."""
    if stored is None or len(stored) not in (_CLOCKS.size, _CLOCKS.size + _UPTIME.size):
        return None
    has_uptime = len(stored) > _CLOCKS.size
    uptime = Uptime(*_UPTIME.unpack_from(stored, _CLOCKS.size)) if has_uptime else None
    broker_ms, wall_ms = _CLOCKS.unpack_from(stored)
    return SavedTime(broker_ms, wall_ms, uptime)


def resume_time(
    saved: SavedTime | None, newest_ms: int, wall_ms: int, uptime: Uptime | None = None
) -> tuple[int, str | None]:
    """Broker time at a start, and a warning or None.

    `saved`: the last saved time, if known. `newest_ms`: the newest broker time in the store, 0 if it is
    empty. `wall_ms`, `uptime`: the clocks now. If the machine has booted since, and the wall clock is
    implausible, the time for which the broker was down counts as 0.
    """
    if saved is not None and saved.uptime is not None and uptime is not None:
        down_ms = uptime.ms - saved.uptime.ms
        if uptime.boot_id == saved.uptime.boot_id and down_ms >= 0:
            return max(saved.broker_ms + down_ms, newest_ms), None
    if saved is None:
        if newest_ms == 0:
            return wall_ms, None
        saved = SavedTime(newest_ms, newest_ms)
    down_ms = wall_ms - saved.wall_ms
    min_ms = max(saved.broker_ms, newest_ms)
    now_ms = saved.broker_ms + down_ms
    if now_ms < min_ms:
        if min_ms - now_ms < MIN_STEP_MS:
            return min_ms, None
        return min_ms, _warning(wall_ms, "before", saved.wall_ms + min_ms - saved.broker_ms)
    if down_ms > MAX_DOWN_MS:
        return min_ms, _warning(wall_ms, "more than a year after", saved.wall_ms)
    return now_ms, None


def _warning(wall_ms: int, relation: str, last_ms: int) -> str:
    return (
        f"the wall clock shows {_shown(wall_ms)}, which is {relation} the last saved time, "
        f"{_shown(last_ms)}: the time for which the broker was down does not count towards any TTL"
    )


def _shown(wall_ms: int) -> str:
    try:
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=wall_ms)
    except OverflowError:
        return f"{wall_ms} ms after 1970"
    return moment.isoformat(" ", "milliseconds")


class Timekeeper:
    """Keeps the time of one broker. Raises StoreError if its file in `data_dir` cannot be opened.

    All methods are called in the event loop, except `close`, which may block.
    """

    def __init__(self, broker_time: BrokerTime, health: Health, data_dir: Path) -> None:
        self._time = broker_time
        self._health = health
        self._file = StateFile(data_dir / CLOCK_FILE)
        self._boot_id = boot_id()
        self._saved_at = 0.0
        self._saving = False
        # A step of the wall clock is not durable yet.
        self._must_sync = False
        # A slow disk must not block the event loop.
        self._thread = ThreadPoolExecutor(1, "mq9fast-clock")

    def begin(self, newest_ms: int) -> None:
        """Start broker time. `newest_ms`: the newest broker time in the store, 0 if it is empty."""
        try:
            stored = self._file.read()
        except StoreError as error:
            log.warning(
                "the last saved time cannot be read, so the newest write in the store is used: %s", error
            )
            stored = None
        saved = unpack_saved(stored)
        wall_ms = read_wall_ms()
        now_ms, warning = resume_time(saved, newest_ms, wall_ms, read_uptime(self._boot_id))
        self._time.start(now_ms, wall_ms)
        if warning is not None:
            log.warning("%s", warning)
        if saved is not None and abs((wall_ms - saved.wall_ms) - (now_ms - saved.broker_ms)) >= MIN_STEP_MS:
            self._save_step()

    def _save_step(self) -> None:
        """The wall clock was set while the broker was down. After a power cut only it measures time, so
        what it shows now is saved before the broker serves."""
        failure = self._write(self._current(), True)
        if failure is not None:
            self._must_sync = True
            self._health.report(CLOCK, f"the time cannot be saved: {failure}")

    def tick(self) -> None:
        """Follow the wall clock if it was set. Save the time if it was set, or is due to be saved."""
        stepped = self._follow_wall()
        self._must_sync = self._must_sync or stepped
        loop = asyncio.get_running_loop()
        pause = RETRY_SECONDS if self._must_sync else SAVE_SECONDS
        if self._saving or (not stepped and loop.time() - self._saved_at < pause):
            return
        self._saved_at = loop.time()
        self._saving = True
        durably, self._must_sync = self._must_sync, False
        saving = loop.run_in_executor(self._thread, self._write, self._current(), durably)
        saving.add_done_callback(partial(self._saved, durably))

    def _follow_wall(self) -> bool:
        clock = self._time
        before_ms, wall_ms, after_ms = clock.now_ms, read_wall_ms(), clock.now_ms
        expected_ms = clock.wall_ms(after_ms)
        if after_ms - before_ms > MAX_READING_MS or abs(wall_ms - expected_ms) < MIN_STEP_MS:
            return False
        clock.set_wall_offset(wall_ms - after_ms)
        log.warning(
            "the wall clock was set from %s to %s: this does not change when mailboxes expire",
            _shown(expected_ms),
            _shown(wall_ms),
        )
        return True

    def _current(self) -> bytes:
        now_ms, wall_ms = self._time.now_ms, read_wall_ms()
        expected_ms = self._time.wall_ms(now_ms)
        same = abs(wall_ms - expected_ms) < MIN_DIFFERENCE_MS
        return SavedTime(now_ms, expected_ms if same else wall_ms, read_uptime(self._boot_id)).pack()

    def _write(self, saved: bytes, durably: bool) -> StoreError | None:
        try:
            self._file.write(saved)
            if durably:
                self._file.sync()
        except StoreError as error:
            return error
        return None

    def _saved(self, durably: bool, done: "asyncio.Future[StoreError | None]") -> None:
        self._saving = False
        failure = None if done.cancelled() else done.result()
        if failure is None:
            self._health.clear(CLOCK)
        else:
            self._must_sync = self._must_sync or durably
            self._health.report(CLOCK, f"the time cannot be saved: {failure}")

    def close(self) -> None:
        """Save the time a last time, and close the file."""
        self._thread.shutdown()
        failure = self._write(self._current(), True)
        if failure is not None:
            log.error("the time cannot be saved: %s", failure)
        self._file.close()
