"""The settings that `mq9fast` would start with, for the commands that check them."""

import os
from typing import Annotated

import typer

from mq9fast.cli.errors import CliError
from mq9fast.cli.status import Status
from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_with_sources
from mq9fast.errors import SettingsError, UsageError

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE] [-- FLAGS]",
        help="The TOML file, and flags of the broker, as `mq9fast` would get them.",
    ),
]


def read(arguments: list[str] | None) -> tuple[Settings, dict[str, str]]:
    """The settings, and by name what gave each that is not a default. Raises CliError."""
    flags = list(arguments or ())
    if flags and not flags[0].startswith("-"):
        flags[:1] = ["--config", flags[0]]
    try:
        return load_with_sources(flags, os.environ)
    except SettingsError as error:
        status = Status.USAGE if isinstance(error, UsageError) else Status.REFUSED
        raise CliError(str(error), "docs/operations.md lists all settings", status=status) from None
