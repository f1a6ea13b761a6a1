"""`mq9fast check`: what a data directory holds, and what is wrong with it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.cli.status import Status
from mq9fast.errors import StartError, StoreError
from mq9fast.maintenance.report import Report


def command(
    directory: Annotated[Path, typer.Argument(help="The data directory.", metavar="DIR")],
    as_json: Json = False,
) -> int:
    """Read all of a data directory that no broker uses, and say what it holds and what is wrong.

    It changes nothing. It ends with status 0 if the directory is sound, with 5 if something in it is lost or
    wrong, and with 1 if it cannot be checked.
    """
    from mq9fast.maintenance.check import check_directory

    try:
        report = check_directory(directory)
    except (StoreError, StartError) as error:
        raise CliError(str(error)) from None
    show(Output(as_json=as_json), report)
    return Status.DONE if report.is_sound else Status.DAMAGED


def show(output: Output, report: Report) -> None:
    """Write a report: what the directory holds, the notes, and the problems."""
    summary = report.summary()
    if output.as_json:
        output.row({"kind": "summary", **summary})
    else:
        show_lines(output, summary)
    for note in report.notes:
        output.row({"kind": "note", "text": note})
    show_problems(output, report.problems, "problem")


def show_problems(output: Output, problems: list[Any], kind: str) -> None:
    """Write problems, one a line."""
    import msgspec

    for problem in problems:
        if output.as_json:
            output.row({"kind": kind, **msgspec.to_builtins(problem)})
        else:
            output.row({"kind": kind, "text": problem.sentence})


def show_lines(output: Output, summary: dict[str, Any]) -> None:
    """Write what is known, one fact a line."""
    known = [(name, value) for name, value in summary.items() if value is not None and value != ""]
    output.table(
        ("what", "value"), ({"what": name.replace("_", " "), "value": value} for name, value in known)
    )
