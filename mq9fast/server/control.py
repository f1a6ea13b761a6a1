"""`mq9fast --signal COMMAND[=PID]`: sends a signal to a broker that runs, as `nats-server --signal` does.

`__main__.py` calls `send_signal`.
"""

import os
import signal
from pathlib import Path

from mq9fast.errors import StartError, UsageError

# nats-server's commands, and the signal that each sends.
SIGNALS = {
    "stop": signal.SIGKILL,
    "quit": signal.SIGINT,
    "term": signal.SIGTERM,
    "reopen": signal.SIGUSR1,
    "reload": signal.SIGHUP,
    "ldm": signal.SIGUSR2,
}


def send_signal(text: str) -> None:
    """Send the signal of `COMMAND`, to the only broker that runs, or of `COMMAND=PID`.

    PID is a number, or the path of a file that has it (`pid_file`). Raises UsageError if the text is not one
    of these, and StartError if there is no such broker, or several.
    """
    command, _, target = text.partition("=")
    if command not in SIGNALS:
        raise UsageError(f"--signal must be one of {', '.join(SIGNALS)}, and may end with =PID")
    pid = _pid_of(target) if target else _only_broker()
    try:
        os.kill(pid, SIGNALS[command])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartError(f"the process {pid} cannot be sent a signal: {reason}") from None


def _pid_of(target: str) -> int:
    try:
        text = target if target.isdigit() else Path(target).read_text().strip()
        pid = int(text)
    except (OSError, ValueError) as error:
        raise StartError(f"--signal: there is no process id in {target!r}: {error}") from None
    if pid < 1:
        raise StartError(f"--signal: {pid} is not a process id")
    return pid


def _only_broker() -> int:
    pids = [pid for pid in _processes() if _is_broker(pid)]
    if not pids:
        raise StartError("--signal: no other broker runs; give the process id, as in --signal stop=PID")
    if len(pids) > 1:
        found = ", ".join(map(str, sorted(pids)))
        raise StartError(f"--signal: several brokers run ({found}); give the process id")
    return pids[0]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _is_broker(pid: int) -> bool:
    """Whether the process is another broker of this user, and no command such as `mq9fast watch`."""
    if pid == os.getpid():
        return False
    process = Path(f"/proc/{pid}")
    try:
        arguments = process.joinpath("cmdline").read_bytes().split(b"\0")[:-1]
        if process.stat().st_uid != os.getuid():
            return False
    except OSError:  # it has ended
        return False
    rest = _arguments_of_broker(arguments)
    return rest is not None and (
        not rest or (rest[0].startswith(b"-") and not rest[0].startswith(b"--signal"))
    )


def _arguments_of_broker(arguments: list[bytes]) -> list[bytes] | None:
    """What follows `python -m mq9fast`, or `mq9fast` with or without an interpreter before it; else None."""
    if b"-m" in arguments[:-1] and arguments[arguments.index(b"-m") + 1] == b"mq9fast":
        return arguments[arguments.index(b"-m") + 2 :]
    for at, argument in enumerate(arguments[:2]):
        if argument.rpartition(b"/")[2] == b"mq9fast":
            return arguments[at + 1 :]
    return None
