"""The version of the package, defined here only. `pyproject.toml`, INFO and `--version` read it."""

VERSION = "0.1.0"
