"""The exit statuses of commands."""

from enum import IntEnum


class Status(IntEnum):
    """What the exit status of a command means."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NO_BROKER = 3
    TIMED_OUT = 4
    # A data directory has lost something, or something in it is wrong.
    DAMAGED = 5
    # As shells report a program that SIGINT ended.
    INTERRUPTED = 130
