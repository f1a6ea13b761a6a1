"""The log: lines on standard error or in a file, written by a thread.

The thread makes the event loop independent of the reader of standard error, which may block. `__main__.py`
creates one `Log` for the process; all modules log through Python's `logging`. This module replaces handlers
and exception hooks of the process.
"""

import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from mq9fast.errors import StartError
from mq9fast.log_file import LogFile

log = logging.getLogger("mq9fast.log")

# So many bytes of lines may wait to be written. Further lines are dropped and counted.
MAX_WAITING_BYTES = 1 << 20
# How long `close` and `flush` wait until the waiting lines are written.
CLOSE_SECONDS = 1.0
STDOUT, STDERR = 1, 2


class LineWriter:
    """Writes lines to a file descriptor in a thread, in order. `put` never waits for the descriptor.

    `notice(count)`: returns the line that reports dropped lines. It is written once writing works again.
    `dropped`: how many lines were dropped so far.
    """

    def __init__(self, descriptor: int, notice: Callable[[int], str] | None = None) -> None:
        self._descriptor = descriptor
        self._notice = notice
        self.dropped = 0
        self._reported = 0
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="mq9fast-log", daemon=True).start()

    def put(self, line: str) -> None:
        """Write `line` in the thread, or drop it if too many bytes wait already."""
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        with self._changed:
            if self._waiting_bytes + len(data) > MAX_WAITING_BYTES:
                self.dropped += 1
                return
            self._lines.append(data)
            self._waiting_bytes += len(data)
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait at most `seconds` until all lines are written. Returns false if any is not, or was dropped."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, seconds)
            return not self._waiting_bytes and not self.dropped

    def close(self, seconds: float) -> bool:
        """Flush, and end the thread. A thread that blocks in a write ends with the process."""
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
                    self._reported = dropped
                else:
                    self.dropped += len(lines)
                self._waiting_bytes -= sum(map(len, lines))
                self._changed.notify_all()

    def _write(self, lines: list[bytes], dropped: int) -> bool:
        unreported = dropped - self._reported
        try:
            if unreported and self._notice is not None:
                lines = [f"{self._notice(unreported)}\n".encode(), *lines]
            left = memoryview(b"".join(lines))
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    # Another process that shares this descriptor has made it non-blocking.
                    select.select([], [self._descriptor], [])
        except OSError:
            return False
        return True


class JsonFormatter(logging.Formatter):
    """A JSON object for each record: time, level, logger, message, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        # Imported late, to start faster: few brokers need it.
        import json

        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class LogHandler(logging.Handler):
    """Formats log records and passes them to a LineWriter."""

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
    """The log of the process, until `close`.

    It also writes the texts that Python itself prints on standard error: warnings, and exceptions that end a
    thread or occur in a destructor.
    """

    def __init__(self) -> None:
        _fill_standard_descriptors()
        self._format: logging.Formatter = logging.Formatter(
            "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
        )
        self._format.converter = time.gmtime
        # For sentences, and for records too unless there is a file.
        self._errors = LineWriter(STDERR, self._dropped)
        self._writer = self._errors
        self._file: LogFile | None = None
        self._hooks = (sys.unraisablehook, threading.excepthook)
        self._handler: LogHandler | None = None
        _logs.append(self)

    @property
    def dropped(self) -> int:
        """Lines that could not be written."""
        return self._writer.dropped

    def begin(self, level: str, path: str | None = None, style: str = "text") -> None:
        """Make all loggers write here, from the minimum `level` on: "debug" to "error".

        `path`: a file to write to instead of standard error. `style`: "text" or "json". Raises StartError if
        the file cannot be opened.
        """
        if path is not None:
            self._file = LogFile(path)
            self._writer = LineWriter(self._file.descriptor, self._dropped)
        if style == "json":
            self._format = JsonFormatter()
        self._handler = LogHandler(self._writer)
        self._handler.setFormatter(self._format)
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(level.upper())
        logging.captureWarnings(True)
        sys.unraisablehook = _log_unraisable
        threading.excepthook = _log_uncaught_in_thread

    def write(self, sentence: str) -> None:
        """Write a line that is not a log record to standard error: why the broker did not start."""
        self._errors.put(sentence)

    def reopen(self) -> None:
        """Open the file again, if there is one. If that fails, the log goes on in the old file."""
        if self._file is None:
            return
        # Lines from before are in the old file.
        self.flush()
        try:
            self._file.reopen()
        except StartError as error:
            log.error("%s", error)
        else:
            log.info("the log file was reopened")

    def flush(self) -> None:
        """Wait at most CLOSE_SECONDS until all lines are written."""
        self._writer.flush(CLOSE_SECONDS)

    def close(self) -> None:
        """Wait at most CLOSE_SECONDS until all lines are written, and undo `begin`."""
        logging.captureWarnings(False)
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
        sys.unraisablehook, threading.excepthook = self._hooks
        self._errors.close(CLOSE_SECONDS)
        if self._file is not None and self._writer.close(CLOSE_SECONDS):
            # Otherwise the thread may still write to it.
            self._file.close()
        _logs.remove(self)

    def _dropped(self, count: int) -> str:
        where = "standard error" if self._file is None else "the log file"
        text = f"{count} log lines were dropped: {where} could not be written"
        return self._format.format(
            logging.LogRecord(log.name, logging.WARNING, __file__, 0, text, None, None)
        )


def print_line(line: str) -> bool:
    """Write a line to standard output, within CLOSE_SECONDS. Returns whether that succeeded."""
    if sys.stdout is None:  # closed before the process began
        return False
    writer = LineWriter(STDOUT)
    writer.put(line)
    return writer.close(CLOSE_SECONDS)


def _fill_standard_descriptors() -> None:
    """Open the descriptors 0, 1 and 2 that are closed. Otherwise a file or socket could get such a number,
    and then receive text for standard output or standard error."""
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


# State of the module, not of a broker: the process has one standard error, and so one log.
_logs: list[Log] = []


def dropped_lines() -> int:
    """How many log lines this process has dropped."""
    return sum(each.dropped for each in _logs)


def reopen_log() -> None:
    """Open the files of the log again, after another program has renamed them."""
    for each in _logs:
        each.reopen()


def flush_log() -> None:
    """Wait at most CLOSE_SECONDS until all log lines are written."""
    for each in _logs:
        each.flush()
