"""Paths as they are given: their bytes are UTF-8, whatever the locale takes names for."""

import os
from pathlib import Path


def as_path(text: str) -> Path:
    """The path of a setting, for Python's own functions. Flags and variables come as the locale decodes them,
    the TOML file is UTF-8; under the C locale the two differ."""
    return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))
