"""Reads the settings: flags win over environment variables, and these win over the TOML file.

`__main__.py` calls `load_settings` at the start and for each reload. This module reads the TOML file;
`flags.py` reads the command line.
"""

import codecs
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType

from mq9fast.config.flags import read_flags
from mq9fast.config.setting import Setting
from mq9fast.config.settings import SETTINGS, Settings
from mq9fast.config.users import PermissionLists, User
from mq9fast.errors import SettingsError
from mq9fast.text import did_you_mean

# Settings with a structure that a flag or a variable cannot express.
FILE_ONLY = {"users": tuple[User, ...], "default_permissions": PermissionLists, "no_auth_user": str}
_BY_NAME = {row.name: row for row in SETTINGS}
# What the variables of the package begin with, and those that are no settings: for builds and tests.
VARIABLE_PREFIX = "MQ9FAST_"
OTHER_VARIABLES = {
    "MQ9FAST_CONFIG",
    "MQ9FAST_TESTING",
    "MQ9FAST_DEBUG",
    "MQ9FAST_ANNOTATE",
    "MQ9FAST_SEED_SCENARIOS",
}
_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def load_settings(
    argv: Sequence[str], environ: Mapping[str, str], more_help: Callable[[], str] = str
) -> Settings:
    """Return the settings from flags, else environment variables, else the TOML file, else the defaults.

    `argv`: the command line without the program's name. `more_help` returns the end of the text of --help.
    Raises UsageError if the command line cannot be read, SettingsError if anything else is not valid.
    Raises SystemExit(0) after printing --help or --version.
    """
    return _load(read_flags(argv, more_help), environ)[0]


def load_with_sources(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Like `load_settings`; also returns by name what gave a setting, such as "flag --port"."""
    return _load(read_flags(argv, str), environ)


def _load(flags: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    path = flags.get("config", environ.get("MQ9FAST_CONFIG"))
    values = {} if path is None else _read_file(path)
    sources = dict.fromkeys(values, f"file {path}")
    for row in SETTINGS:
        for name, given, source in (
            (row.variable, environ, f"variable {row.variable}"),
            (row.name, flags, f"flag {row.flag}"),
        ):
            if name in given:
                values[row.name] = _from_text(row, given[name], f"the {source}")
                sources[row.name] = source
    return Settings(**values, given=frozenset(values)), sources


def check_settings(values: Mapping[str, Any]) -> Settings:
    """Return the settings from Python values by name, else the defaults. Raises SettingsError.

    `users` and `default_permissions` are as in the TOML file: a list of dicts, and a dict.
    """
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name in FILE_ONLY:
            checked[name] = _convert(name, value, "a keyword")
        elif name in _BY_NAME:
            checked[name] = _check(_BY_NAME[name], value, "a keyword")
        else:
            raise SettingsError(f"unknown setting {name!r}{did_you_mean(name, (*_BY_NAME, *FILE_ONLY))}")
    return Settings(**checked, given=frozenset(checked))


def unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that begins like a setting's and is none.

    It is no error: for a service named mq9fast, Kubernetes gives every program of the namespace such
    variables.
    """
    known = {row.variable for row in SETTINGS} | OTHER_VARIABLES
    for name in sorted(environ):
        if name.startswith(VARIABLE_PREFIX) and name not in known:
            yield f"the variable {name} is not a setting{did_you_mean(name, known)}"


def _read_file(path: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in _read_toml(path).items():
        row = _BY_NAME.get(key.replace("-", "_"))
        if key in FILE_ONLY:
            values[key] = _convert(key, value, f"the config file {path!r}")
            continue
        if row is None:
            hint = did_you_mean(key, (*_BY_NAME, *FILE_ONLY))
            raise SettingsError(f"the config file {path!r} has an unknown key {key!r}{hint}")
        if row.name in values:
            raise SettingsError(f"the config file {path!r} gives {row.name} twice")
        values[row.name] = _check(row, value, f"the config file {path!r}")
    return values


def _convert(key: str, value: Any, source: str) -> Any:
    try:
        return msgspec.convert(value, FILE_ONLY[key])
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        # msgspec's text names the place and the types, never the value, which may be a secret.
        raise SettingsError(f"{key}, given by {source}, is not valid: {error}") from None


def _read_toml(path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"the config file {path!r} cannot be read: {reason}") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SettingsError(f"the config file {path!r} is UTF-16 text: save it as UTF-8")
    try:
        values: dict[str, Any] = tomllib.loads(data.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        raise SettingsError(f"the config file {path!r} is not UTF-8 text: {error.reason}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the config file {path!r} is not valid TOML: {error}") from None
    return values


def _from_text(row: Setting, text: str, source: str) -> Any:
    value: Any = text
    try:
        if isinstance(row.kind, BoolType):
            value = _BOOLS[text.lower()]
        elif isinstance(row.kind, IntType):
            value = int(text)
        elif isinstance(row.kind, FloatType):
            value = float(text)
    except (KeyError, ValueError):
        raise _value_error(row, source) from None
    return _check(row, value, source)


def _check(row: Setting, value: Any, source: str) -> Any:
    try:
        return msgspec.convert(value, row.hint)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter if a choice is not UTF-8
        raise _value_error(row, source) from None


def _value_error(row: Setting, source: str) -> SettingsError:
    # The sentence does not show the value: it may be a secret, given to the wrong setting by mistake.
    return SettingsError(f"{row.name}, given by {source}, must be {row.expected}")
