"""`mq9fast version`: the version of the package, of Python, and of what it is built on."""

import platform
import sys
from importlib import metadata

from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.version import VERSION

# Packages with compiled code: the ones to name in a report of an error.
PACKAGES = ("rocksdict", "uvloop", "msgspec", "bcrypt", "pynacl")


def command(as_json: Json = False) -> None:
    """Print the version of mq9fast, of Python, and of the compiled packages it uses."""
    output = Output(as_json=as_json)
    versions = {"mq9fast": VERSION, "python": platform.python_version(), "platform": _platform()}
    versions |= {name: metadata.version(name) for name in PACKAGES}
    if as_json:
        output.row(versions)
    for name, version in versions.items():
        output.text(f"{name} {version}")


def _platform() -> str:
    return f"{sys.platform} {platform.machine()}"
