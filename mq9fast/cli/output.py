"""What commands write to standard output: JSON lines, a table on a terminal, or text for other programs.

The environment variable NO_COLOR turns colours off, as rich honours it.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mq9fast.cli.errors import ReaderGoneError


class Output:
    """Standard output of one command. `as_json`: one JSON object a line, and nothing else."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.on_terminal = sys.stdout.isatty()

    def text(self, line: str) -> None:
        """Write a line for people. It is left out with --json."""
        if not self.as_json:
            write(line)

    def row(self, row: Mapping[str, Any]) -> None:
        """Write one row at once: a JSON object, or its values with tabs between them."""
        if self.as_json:
            write(json.dumps(row, ensure_ascii=False, default=str))
        else:
            write("\t".join(cell(value) for value in row.values()))

    def table(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows: as a table on a terminal, else one line each, of these columns.

        With --json the objects are written whole.
        """
        if self.as_json:
            for row in rows:
                self.row(row)
        elif self.on_terminal:
            self._draw(columns, rows)
        else:
            for row in rows:
                self.row({column: row.get(column) for column in columns})

    def _draw(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell(row.get(column))) for column in columns))
        Console().print(table)


def write(line: str) -> None:
    """Write a line to standard output at once. Raises ReaderGoneError."""
    try:
        print(line, flush=True)
    except BrokenPipeError as error:
        raise ReaderGoneError from error


def warn(sentence: str) -> None:
    """Write a warning to standard error."""
    print(f"warning: {sentence}", file=sys.stderr)


def cell(value: Any) -> str:
    """A value as text of one line, without characters that would act on a terminal or end the cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
