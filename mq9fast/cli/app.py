"""Runs one command: finds it in the table, lets typer read its arguments, and turns errors into sentences.

`__main__.py` calls `run_command`. Nothing else here imports typer before the command is known, so that the
errors about names need no extra package.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mq9fast.cli.commands import COMMANDS, Command
from mq9fast.cli.errors import CliError, ReaderGoneError
from mq9fast.cli.status import Status
from mq9fast.text import did_you_mean, printable

if TYPE_CHECKING:
    import typer


def run_command(argv: Sequence[str]) -> int:
    """Run the command that `argv` begins with, and return the exit status of the process.

    An error is written to standard error, as one line, and a second line with a hint where there is one.
    """
    name, *arguments = argv
    try:
        return _run(_find(name), arguments)
    except CliError as failure:
        code = f" ({failure.code})" if failure.code else ""
        _write(f"mq9fast: {failure.sentence}{code}")
        if failure.hint:
            _write(f"hint: {failure.hint}")
        return failure.status
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "mq9fast":
            raise
        _write(f"mq9fast: the command {name} needs the package {error.name}, which is not installed")
        _write(f"hint: pip install 'mq9fast[{_find(name).extra}]'")
        return Status.USAGE
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except ReaderGoneError:
        # Otherwise Python would try to flush standard output at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.DONE


def _find(name: str) -> Command:
    found = COMMANDS.get(name)
    if found is None:
        hint = did_you_mean(name, COMMANDS) or ": see mq9fast --help"
        raise CliError(f"there is no command {printable(name, 40)!r}{hint}", status=Status.USAGE)
    return found


def _run(row: Command, arguments: Sequence[str]) -> int:
    import typer

    app = typer_app(row)
    try:
        result = app(args=list(arguments), prog_name=f"mq9fast {row.name}", standalone_mode=False)
    except typer.TyperException as error:
        raise _usage_failure(row, error) from None
    except typer.Abort:
        return Status.INTERRUPTED
    return Status.DONE if result is None else int(result)


def typer_app(row: Command) -> "typer.Typer":
    """The typer application of one command. Imports its module."""
    import typer

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    example = "\n".join(f"  {line}" for line in row.example.splitlines())
    app.command(
        row.name,
        epilog=f"\b\nExample:\n{example}",
        context_settings={"help_option_names": ["-h", "--help"]},
    )(importlib.import_module(row.module).command)
    return app


def options_of(row: Command) -> dict[str, str]:
    """The help text of each option of a command, by flag. Imports its module."""
    import typer.main

    parameters = typer.main.get_command(typer_app(row)).params
    return {
        flag: getattr(each, "help", None) or ""
        for each in parameters
        for flag in (*each.opts, *each.secondary_opts)
        if flag.startswith("--")
    }


def _usage_failure(row: Command, error: "typer.TyperException") -> CliError:
    hint = f"mq9fast {row.name} --help"
    unknown = getattr(error, "option_name", None)
    if unknown and type(error).__name__ == "NoSuchOption":
        nearest = did_you_mean(unknown, options_of(row))
        return CliError(f"the command {row.name} has no flag {unknown}{nearest}", hint, status=Status.USAGE)
    text = error.format_message()
    if "unexpected extra argument" in text:  # typer's text repeats the argument, which may be a secret
        text = "there is an argument too many"
    text = text.rstrip(".")
    return CliError(f"{row.name}: {text[:1].lower()}{text[1:]}", hint, status=Status.USAGE)


def _write(line: str) -> None:
    print(line, file=sys.stderr)
