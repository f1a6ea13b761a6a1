"""`mq9fast check-config`: whether a broker would start with these settings, and where each comes from."""

import os
from collections.abc import Iterator
from typing import Any

from mq9fast.cli.broker_settings import Arguments, read
from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output, warn
from mq9fast.config.permission_warnings import permission_warnings
from mq9fast.config.settings import SETTINGS, Settings
from mq9fast.config.sources import FILE_ONLY, unknown_variables
from mq9fast.errors import StartError
from mq9fast.network.tls import of_websocket_port, tls_context
from mq9fast.network.websocket.origins import Origins


def command(arguments: Arguments = None, as_json: Json = False) -> None:
    """Check the settings, and show each with its value and what it comes from. Secrets are not shown.

    It reads what `mq9fast` would read: the file, the environment, and the flags behind `--`. It opens no port
    and no data directory.
    """
    settings, sources = read(arguments)
    try:
        tls_context(settings)
        tls_context(of_websocket_port(settings))
        Origins(settings)
    except StartError as error:
        raise CliError(str(error)) from None
    Output(as_json=as_json).table(("setting", "value", "source"), _rows(settings, sources))
    for sentence in (*permission_warnings(settings), *unknown_variables(os.environ)):
        warn(sentence)


def _rows(settings: Settings, sources: dict[str, str]) -> Iterator[dict[str, Any]]:
    for row in SETTINGS:
        value = getattr(settings, row.name)
        shown = "***" if row.secret and value else value
        yield {"setting": row.name, "value": shown, "source": sources.get(row.name, "default")}
    for name in FILE_ONLY:
        if name in sources:
            yield {"setting": name, "value": _names(settings, name), "source": sources[name]}


def _names(settings: Settings, name: str) -> str:
    return ", ".join(user.name for user in settings.users) if name == "users" else "given"
