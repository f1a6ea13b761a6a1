"""Flags that several commands have, as annotations for typer."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Write one JSON object a line.")]
