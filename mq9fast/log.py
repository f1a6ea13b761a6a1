"""The log on standard error, written by a thread, so that a reader that stopped reading stops nobody else."""

import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

log = logging.getLogger("mq9fast.log")

# Lines that wait for a slow reader; what comes after is dropped and counted.
WAITING_BYTES = 1 << 20
# How long the end of the process waits for lines to be written.
CLOSE_SECONDS = 1.0
STDOUT, STDERR = 1, 2


class LineWriter:
    """Writes lines to a file descriptor in their order, in a thread. `put` never waits for the descriptor.

    `notice(count)` is the line that says how many lines were dropped, written once writing works again.
    """

    def __init__(self, descriptor: int, notice: Callable[[int], str] | None = None) -> None:
        self._descriptor = descriptor
        self._notice = notice
        self.dropped = 0
        self._told = 0
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="mq9fast-log", daemon=True).start()

    def put(self, line: str) -> None:
        """Have `line` written, or drop it if too much waits already."""
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        with self._changed:
            if self._waiting_bytes + len(data) > WAITING_BYTES:
                self.dropped += 1
                return
            self._lines.append(data)
            self._waiting_bytes += len(data)
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait at most so long until every line is written; whether none waits and none was dropped."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, seconds)
            return not self._waiting_bytes and not self.dropped

    def close(self, seconds: float) -> bool:
        """`flush`, and end the thread; one that is stuck in a write ends with the process."""
        done = self.flush(seconds)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        return done

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing)
                if not self._lines:
                    return
                lines = list(self._lines)
                self._lines.clear()
                dropped = self.dropped
            written = self._write(lines, dropped)
            with self._changed:
                if written:
                    self._told = dropped
                else:
                    self.dropped += len(lines)
                self._waiting_bytes -= sum(map(len, lines))
                self._changed.notify_all()

    def _write(self, lines: list[bytes], dropped: int) -> bool:
        untold = dropped - self._told
        try:
            if untold and self._notice is not None:
                lines = [f"{self._notice(untold)}\n".encode(), *lines]
            left = memoryview(b"".join(lines))
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    # Another process that has this descriptor made it non-blocking.
                    select.select([], [self._descriptor], [])
        except OSError:
            return False
        return True


class LogHandler(logging.Handler):
    """Hands formatted records to a LineWriter."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:
            line = f"a log line of {record.name} could not be formatted: {error}"
        self._writer.put(line)


class Log:
    """The log of a process, from its first line to `close`. What Python would print on standard error by
    itself goes through it too: warnings, and exceptions of threads and destructors."""

    def __init__(self) -> None:
        _fill_standard_descriptors()
        self._format = logging.Formatter(
            "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
        )
        self._format.converter = time.gmtime
        self._writer = LineWriter(STDERR, self._dropped)
        self._hooks = (sys.unraisablehook, threading.excepthook)
        self._handler = LogHandler(self._writer)
        self._handler.setFormatter(self._format)
        _logs.append(self)

    @property
    def dropped(self) -> int:
        """Lines that could not be written."""
        return self._writer.dropped

    def begin(self, level: str) -> None:
        """Have every logger write here from `level` ("debug" to "error") on."""
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(level.upper())
        logging.captureWarnings(True)
        sys.unraisablehook = _log_unraisable
        threading.excepthook = _log_uncaught_in_thread

    def say(self, sentence: str) -> None:
        """Write a line that is no log record: why there is no broker."""
        self._writer.put(sentence)

    def flush(self) -> None:
        """Wait for what was logged to be written, but not for long."""
        self._writer.flush(CLOSE_SECONDS)

    def close(self) -> None:
        """Wait for the last lines, but not for long, and log no more."""
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(self._handler)
        sys.unraisablehook, threading.excepthook = self._hooks
        self._writer.close(CLOSE_SECONDS)
        _logs.remove(self)

    def _dropped(self, count: int) -> str:
        text = f"{count} log lines were dropped: standard error could not be written"
        return self._format.format(
            logging.LogRecord(log.name, logging.WARNING, __file__, 0, text, None, None)
        )


def print_line(line: str) -> bool:
    """Write a line to standard output; whether that could be done. Waits at most CLOSE_SECONDS."""
    if sys.stdout is None:  # closed before the process began
        return False
    writer = LineWriter(STDOUT)
    writer.put(line)
    return writer.close(CLOSE_SECONDS)


def _fill_standard_descriptors() -> None:
    """Have 0, 1 and 2 open: what is opened in a closed one's place would get what is meant for that."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _log_unraisable(caught: Any) -> None:
    log.error(
        "%s: %r", caught.err_msg or "an exception was ignored in", caught.object, exc_info=caught.exc_value
    )


def _log_uncaught_in_thread(caught: Any) -> None:
    name = caught.thread.name if caught.thread is not None else "?"
    log.error("the thread %s ended with an exception", name, exc_info=caught.exc_value)


# The process has one standard error, and so one log.
_logs: list[Log] = []


def dropped_lines() -> int:
    """Log lines of this process that were dropped."""
    return sum(each.dropped for each in _logs)


def flush_log() -> None:
    """Wait for what was logged to be written, but not for long."""
    for each in _logs:
        each.flush()
