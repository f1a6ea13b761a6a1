"""Tells systemd that the broker serves, reloads its settings, stops, and is alive, as sd_notify(3) describes.

`server/process.py` makes the one `ServiceManager` of the process. Without the variables that systemd sets, it
does nothing. It only writes to the socket of `NOTIFY_SOCKET`.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger("mq9fast.systemd")

_MICROSECONDS = 1_000_000


class ServiceManager:
    """The manager of this process, such as systemd, as `environ` describes it.

    `NOTIFY_SOCKET`: the path of a datagram socket; "@" at its start stands for a NUL. `WATCHDOG_USEC`: the
    manager restarts the process if it hears nothing for so many microseconds. `WATCHDOG_PID`: the process
    that the watchdog is for, this one if it is missing.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = environ.get("NOTIFY_SOCKET", "")
        self._watchdog_seconds = _watchdog_seconds(environ)
        self._timer: asyncio.TimerHandle | None = None

    def ready(self) -> None:
        """The broker accepts clients. From now on the running event loop tells the watchdog that it lives."""
        self._send("READY=1")
        if self._timer is None and self._path and self._watchdog_seconds:
            self._keep_alive(asyncio.get_running_loop())

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The broker stops, or closes its clients as a lame duck."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Tell the watchdog nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _keep_alive(self, loop: asyncio.AbstractEventLoop) -> None:
        self._send("WATCHDOG=1")
        # systemd advises half of the time.
        self._timer = loop.call_later(self._watchdog_seconds / 2, self._keep_alive, loop)

    def _send(self, state: str) -> None:
        if not self._path:
            return
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                # A manager that does not read must not stop the broker.
                out.setblocking(False)
                out.sendto(state.encode(), address)
        except OSError as error:
            log.warning("the service manager cannot be told %r: %s", state.partition("\n")[0], error)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """The time of the watchdog, 0 if there is none for this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        return max(int(environ.get("WATCHDOG_USEC", "0")), 0) / _MICROSECONDS
    except ValueError:
        return 0.0
