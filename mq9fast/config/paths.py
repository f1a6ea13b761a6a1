"""Converts a path of the settings to a `Path` whose bytes on disk are the UTF-8 encoding of the setting,
whatever the locale.

`server/broker.py` converts `data_dir`, and `network/tls.py` the TLS files.
"""

import os
from pathlib import Path


def utf8_path(text: str) -> Path:
    """The path for the text of a setting.

    Python encodes paths in the filesystem encoding. That is not UTF-8 in, for example, the C locale with
    PYTHONUTF8=0 and PYTHONCOERCECLOCALE=0. There Python decodes each byte of a flag or a variable that is not
    ASCII to a surrogate; "surrogateescape" encodes the surrogate as that byte again.
    """
    return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))
