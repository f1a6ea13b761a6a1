"""`mq9fast salvage`: copies what can be read of a damaged data directory."""

from pathlib import Path
from typing import Annotated

import typer

from mq9fast.cli.check import show_lines, show_problems
from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.cli.status import Status
from mq9fast.errors import StartError, StoreError


def command(
    directory: Annotated[Path, typer.Argument(help="The damaged data directory.", metavar="DIR")],
    target: Annotated[Path, typer.Argument(help="A new or an empty directory.", metavar="TO")],
    as_json: Json = False,
) -> int:
    """Copy all that can be read of a damaged data directory into a new one, and list what cannot be read.

    It changes nothing in the damaged directory. It ends with status 0 if nothing was lost, with 5 if
    something was, and with 1 if nothing could be copied.
    """
    import msgspec

    from mq9fast.maintenance.salvage import salvage

    try:
        salvaged = salvage(directory, target)
    except (StoreError, StartError) as error:
        raise CliError(str(error)) from None
    output = Output(as_json=as_json)
    summary = {"directory": salvaged.target, **msgspec.to_builtins(salvaged.holds)}
    if as_json:
        output.row({"kind": "summary", **summary})
    else:
        show_lines(output, summary)
    show_problems(output, salvaged.damage, "damage")
    show_problems(output, salvaged.lost, "lost")
    return Status.DAMAGED if salvaged.lost or any(each.loses for each in salvaged.damage) else Status.DONE
