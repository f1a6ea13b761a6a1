"""Broker time across restarts, and the wall clock beside it.

While a broker runs, broker time goes on by a clock that is never set. While none runs, only the wall clock
can tell how long: so broker time and wall time are noted together, in a file of their own, and a start goes
on from the note by what the wall clock has moved since, if that is plausible.
"""

import asyncio
import logging
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from mq9fast._core.base.broker_time import BrokerTime, read_wall_ms
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.storage.state_file import StateFile

log = logging.getLogger("mq9fast.clock")

FILE_NAME = "mq9fast.clock"
# A broker that was down for longer is more likely to have a wall clock that is wrong.
MAX_DOWN_MS = 366 * 24 * 3600 * 1000
# A difference that is not worth a word: NTP corrects as much in passing.
MIN_STEP_MS = 1000
# Reading two clocks takes no time, unless the system takes the processor away in between.
MAX_READING_MS = 50
# Two clocks that count whole milliseconds differ by one now and then.
MIN_DIFFERENCE_MS = 10
NOTE_SECONDS = 5.0
# The fault that /healthz shows while broker time cannot be noted.
CLOCK = "clock"


class Note(NamedTuple):
    """Broker time and wall time at one moment, in milliseconds; the latter since 1970."""

    broker_ms: int
    wall_ms: int

    def pack(self) -> bytes:
        """As it is stored."""
        return _NOTE.pack(*self)


_NOTE = struct.Struct(">QQ")


def continue_work(note: Note | None, newest_ms: int, wall_ms: int) -> tuple[int, str | None]:
    """Broker time at a start, and what to warn of, if anything.

    `note` is the last one, `newest_ms` the newest broker time in the store (0: there is none), `wall_ms` what
    the wall clock shows. Where the wall clock is not plausible, the broker counts as not having been down.
    """
    if note is None:
        if newest_ms == 0:
            return wall_ms, None
        note = Note(newest_ms, newest_ms)
    down_ms = wall_ms - note.wall_ms
    min_ms = max(note.broker_ms, newest_ms)
    now_ms = note.broker_ms + down_ms
    if now_ms < min_ms:
        if min_ms - now_ms < MIN_STEP_MS:
            return min_ms, None
        return min_ms, _implausible(wall_ms, "before", note.wall_ms + min_ms - note.broker_ms)
    if down_ms > MAX_DOWN_MS:
        return min_ms, _implausible(wall_ms, "more than a year after", note.wall_ms)
    return now_ms, None


def _implausible(wall_ms: int, relation: str, last_ms: int) -> str:
    return (
        f"the wall clock shows {_shown(wall_ms)}, which is {relation} the last time that was noted, "
        f"{_shown(last_ms)}: the time the broker was down does not count for mailboxes' lives"
    )


def _shown(wall_ms: int) -> str:
    try:
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=wall_ms)
    except OverflowError:
        return f"{wall_ms} ms after 1970"
    return moment.isoformat(" ", "milliseconds")


class Timekeeper:
    """Keeps a broker's time. Raises StoreError if the note's file in `data_dir` cannot be opened or read."""

    def __init__(self, time: BrokerTime, health: Health, data_dir: Path) -> None:
        self._time = time
        self._health = health
        self._file = StateFile(data_dir / FILE_NAME)
        self._noted_at = 0.0
        self._writing = False
        # A disk may keep a write waiting; the event loop does not wait with it.
        self._thread = ThreadPoolExecutor(1, "mq9fast-clock")

    def begin(self, newest_ms: int) -> None:
        """Go on from the last note; `newest_ms` is the newest broker time in the store, 0 for none."""
        try:
            stored = self._file.read()
        except StoreError as error:
            log.warning("the last time that was noted is not known: %s", error)
            stored = None
        note = Note(*_NOTE.unpack(stored)) if stored is not None and len(stored) == _NOTE.size else None
        wall_ms = read_wall_ms()
        now_ms, warning = continue_work(note, newest_ms, wall_ms)
        self._time.start(now_ms, wall_ms)
        if warning is not None:
            log.warning("%s", warning)

    def look(self) -> None:
        """Follow the wall clock if it was set, and note the time now and then. Called in the event loop."""
        stepped = self._follow_wall()
        loop = asyncio.get_running_loop()
        if self._writing or (not stepped and loop.time() - self._noted_at < NOTE_SECONDS):
            return
        self._noted_at = loop.time()
        self._writing = True
        written = loop.run_in_executor(self._thread, self._write, self._note(), stepped)
        written.add_done_callback(self._written)

    def _follow_wall(self) -> bool:
        time = self._time
        before_ms, wall_ms, after_ms = time.now_ms, read_wall_ms(), time.now_ms
        expected_ms = time.wall_ms(after_ms)
        if after_ms - before_ms > MAX_READING_MS or abs(wall_ms - expected_ms) < MIN_STEP_MS:
            return False
        time.set_wall_offset(wall_ms - after_ms)
        log.warning(
            "the wall clock was set from %s to %s: mailboxes' lives do not change by it",
            _shown(expected_ms),
            _shown(wall_ms),
        )
        return True

    def _note(self) -> bytes:
        now_ms, wall_ms = self._time.now_ms, read_wall_ms()
        expected_ms = self._time.wall_ms(now_ms)
        same = abs(wall_ms - expected_ms) < MIN_DIFFERENCE_MS
        return Note(now_ms, expected_ms if same else wall_ms).pack()

    def _write(self, note: bytes, durably: bool) -> StoreError | None:
        try:
            self._file.write(note)
            if durably:
                self._file.sync()
        except StoreError as error:
            return error
        return None

    def _written(self, done: "asyncio.Future[StoreError | None]") -> None:
        self._writing = False
        failure = None if done.cancelled() else done.result()
        if failure is None:
            self._health.clear(CLOCK)
        else:
            self._health.report(CLOCK, f"the time cannot be noted: {failure}")

    def close(self) -> None:
        """Note the time of the end."""
        self._thread.shutdown()
        failure = self._write(self._note(), True)
        if failure is not None:
            log.error("the time cannot be noted: %s", failure)
        self._file.close()
