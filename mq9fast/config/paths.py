"""Converts paths in the settings to `Path`. Their bytes are UTF-8, whatever encoding the locale has.

`server/broker.py` calls this for `data_dir`.
"""

import os
from pathlib import Path


def as_path(text: str) -> Path:
    """The path of a setting, as Python's functions take it.

    Python decodes flags and variables by the locale, and the TOML file as UTF-8. Under the C locale these
    differ.
    """
    return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))
