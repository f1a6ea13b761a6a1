"""Reads the command line of a broker.

A parser of all flags takes longer to build than most command lines take to read. So a plain command line is
read here, and `flag_parser.py` reads the others: `--help`, `--version`, and all that end in an error.
"""

from collections.abc import Callable, Sequence

from msgspec.inspect import BoolType

from mq9fast.config.settings import SETTINGS

# Flags that are no settings: check the settings and exit, and send a signal to a broker that runs.
TEST_FLAGS = frozenset(("-t", "--test-config"))
SIGNAL_FLAGS = ("-sl", "--signal")


def read_flags(argv: Sequence[str], more_help: Callable[[], str]) -> dict[str, str]:
    """Return the texts of the flags by the name of the setting, with "config" for the file.

    Raises UsageError, or SystemExit(0) after printing --help or --version.
    """
    found = plain_flags(argv)
    if found is not None:
        return found
    from mq9fast.config.flag_parser import parse_flags

    return parse_flags(argv, more_help)


def plain_flags(argv: Sequence[str]) -> dict[str, str] | None:
    """Like `read_flags`, if `argv` has only known flags, each with its value; else None."""
    with_value = {"--config": "config"}
    without_value = {}
    for row in SETTINGS:
        if isinstance(row.kind, BoolType):
            without_value[row.flag] = (row.name, "True")
            without_value[f"--no-{row.flag[2:]}"] = (row.name, "False")
        else:
            with_value[row.flag] = row.name
    found: dict[str, str] = {}
    arguments = iter(argv)
    for argument in arguments:
        if argument in without_value:
            name, value = without_value[argument]
        else:
            flag, equals, value = argument.partition("=")
            if flag not in with_value:
                return None
            name = with_value[flag]
            if not equals:
                value = next(arguments, "")
                if value.startswith("-"):
                    return None
            if not value:
                return None
        found[name] = value
    return found


def signal_argument(argv: Sequence[str]) -> str | None:
    """The value of --signal on a command line; None if it is not there."""
    for at, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag in SIGNAL_FLAGS:
            return value if equals else "".join(argv[at + 1 : at + 2])
    return None
