"""`mq9fast restore`: makes a data directory of a backup."""

from pathlib import Path
from typing import Annotated

import typer

from mq9fast.cli.backup import show_copy
from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.errors import StartError, StoreError


def command(
    backup: Annotated[Path, typer.Argument(help="The backup.", metavar="FROM")],
    directory: Annotated[Path, typer.Argument(help="A new or an empty directory.", metavar="DIR")],
    as_json: Json = False,
) -> None:
    """Verify a backup, and copy it into a new or an empty data directory.

    If anything fails, nothing is left in the directory. A broker on it gives new msg_ids that no client
    knows.
    """
    from mq9fast.maintenance.backup import restore

    try:
        copied = restore(backup, directory)
    except (StoreError, StartError) as error:
        raise CliError(str(error)) from None
    show_copy(Output(as_json=as_json), copied)
