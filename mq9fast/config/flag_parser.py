"""Describes the flags of a broker to argparse, which reads command lines that are not plain."""

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from msgspec.inspect import BoolType, IntType

from mq9fast.config.flags import SIGNAL_FLAGS, TEST_FLAGS
from mq9fast.config.setting import Setting
from mq9fast.config.settings import SETTINGS
from mq9fast.errors import UsageError
from mq9fast.text import did_you_mean
from mq9fast.version import VERSION


def server_flags() -> dict[str, str]:
    """The help text of each flag of the broker."""
    return {
        flag: action.help or ""
        for action in _parser()._actions
        for flag in action.option_strings
        if flag.startswith("--")
    }


class _FlagParser(argparse.ArgumentParser):
    more_help: Callable[[], str] = str

    @property
    def flags(self) -> list[str]:
        return list(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def format_help(self) -> str:
        return super().format_help() + self.more_help()


def parse_flags(argv: Sequence[str], more_help: Callable[[], str]) -> dict[str, str]:
    """Like `flags.read_flags`, for any command line."""
    parser = _parser()
    parser.more_help = more_help
    found, rest = parser.parse_known_args(argv)
    # Another argument may be a part of a secret: show nothing but the name of a flag.
    for argument in rest:
        if argument.startswith("--"):
            flag = argument.partition("=")[0]
            hint = did_you_mean(flag, parser.flags) or ": see --help"
            raise UsageError(f"unknown flag {flag!r}{hint}")
    if rest:
        raise UsageError("an argument on the command line does not belong to any flag: see --help")
    return {name: str(value) for name, value in vars(found).items() if value is not None}


def _parser() -> _FlagParser:
    parser = _FlagParser(
        prog="mq9fast",
        usage="mq9fast [--config FILE] [--SETTING VALUE ...]\n       mq9fast COMMAND ...",
        description="A message broker with mailboxes, for any NATS client.",
        epilog="Each setting can also come from an environment variable (MQ9FAST_MAX_PAYLOAD) or the TOML "
        "file (max_payload = 1048576). A flag wins over a variable, a variable over the file. "
        "Other users can see flags in the process list: give secrets by variable or file.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mq9fast {VERSION}")
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings (default: none)")
    parser.add_argument(
        *sorted(TEST_FLAGS), action="store_true", default=None, help="check the settings, and exit"
    )
    signals = "send a signal to a broker that runs: stop, quit, term, reload, reopen or ldm"
    parser.add_argument(*SIGNAL_FLAGS, metavar="COMMAND[=PID]", help=signals)
    for row in SETTINGS:
        _add_flag(parser, row)
    return parser


def _add_flag(parser: argparse.ArgumentParser, row: Setting) -> None:
    text = f"{row.help} (default: {_default_text(row)})".replace("%", "%%")
    if isinstance(row.kind, BoolType):
        parser.add_argument(row.flag, action=argparse.BooleanOptionalAction, help=text)
    else:
        parser.add_argument(row.flag, metavar=_metavar(row), help=text)


def _default_text(row: Setting) -> str:
    if row.default is None:
        return "none"
    if isinstance(row.default, bool):
        return str(row.default).lower()
    return f"{row.default} {row.unit}".rstrip()


def _metavar(row: Setting) -> str:
    if row.choices:
        return "|".join(row.choices)
    if isinstance(row.kind, IntType):
        return row.unit.upper() or "N"
    return row.unit.upper() or "TEXT"
