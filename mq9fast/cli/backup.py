"""`mq9fast backup`: a verified copy of a data directory, while its broker runs or not."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mq9fast.cli import broker_settings
from mq9fast.cli.check import show_lines
from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.errors import StartError, StoreError

if TYPE_CHECKING:
    from mq9fast.maintenance.backup import Copied


def command(
    target: Annotated[Path, typer.Argument(help="A new or an empty directory.", metavar="TO")],
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="The data directory; else that of the settings.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The broker's TOML file, for its data_dir.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option("--base", help="An earlier backup, to which unchanged files are linked.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy a data directory, and verify the copy. The broker may be running, and goes on meanwhile.

    Run it on the broker's machine, as a user that may read the data directory. Files that never change are
    hard-linked if both directories are on one file system. If anything fails, no copy is left.
    """
    from mq9fast.maintenance.backup import back_up

    if data_dir is None:
        settings, _ = broker_settings.read(["--config", str(config)] if config is not None else [])
        data_dir = Path(settings.data_dir)
    try:
        copied = back_up(data_dir, target, base)
    except (StoreError, StartError) as error:
        raise CliError(str(error)) from None
    show_copy(Output(as_json=as_json), copied)


def show_copy(output: Output, copied: "Copied") -> None:
    """Write what a copy holds, and how large it is."""
    holds = copied.report.holds
    row = {
        "directory": copied.report.directory,
        "mailboxes": holds.mailboxes,
        "messages": holds.messages,
        "bytes": holds.bytes,
        "linked_bytes": copied.linked_bytes,
        "copied_bytes": copied.copied_bytes,
    }
    if output.as_json:
        output.row(row)
    else:
        show_lines(output, row)
