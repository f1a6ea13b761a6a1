"""`mq9fast dev`: a broker to try things with, and what to paste to talk to it."""

import contextlib
import logging
import signal
import threading
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from mq9fast.cli.errors import CliError
from mq9fast.cli.flags import Json
from mq9fast.cli.output import Output
from mq9fast.cli.snippets import SNIPPETS
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError
from mq9fast.server.embedded import Broker
from mq9fast.version import VERSION

DEFAULT_PORT = Settings().port
# Next to the monitoring port.
DEFAULT_WS_PORT = 8223


def command(
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the data in this directory, instead of a temporary one.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help=f"Port for clients; 0 for a free one. [default: {DEFAULT_PORT}, or a free one]"),
    ] = None,
    ws_port: Annotated[
        int | None,
        typer.Option(
            help="Port for the console and WebSocket clients; 0 for a free one, -1 for none. "
            f"[default: {DEFAULT_WS_PORT}, or a free one, closed to web pages other than the console]"
        ),
    ] = None,
    open_console: Annotated[bool, typer.Option("--open", help="Open the console in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """Start a broker to try things with, and print what to paste to talk to it. Ctrl-C ends it.

    Without --data-dir its data is gone when it ends. It listens on loopback only, without authentication.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    given: dict[str, Any] = {"monitor_port": -1}
    if data_dir is not None:
        given["data_dir"] = data_dir
    try:
        with contextlib.ExitStack() as running:
            broker = _start(given, port, ws_port, running)
            stop = _stop_on_signals()
            _announce(broker, Output(as_json=as_json), kept=data_dir is not None)
            if open_console and broker.console_url is not None:
                webbrowser.open(broker.console_url)
            stop.wait()
    except StartError as error:
        raise CliError(str(error), "mq9fast doctor shows which process has a port, and more") from None


def _start(
    given: dict[str, Any], port: int | None, ws_port: int | None, running: contextlib.ExitStack
) -> Broker:
    """Start the broker. Only default ports may give way to free ones: most likely a broker has them."""
    try:
        return running.enter_context(_broker(given, port, ws_port, DEFAULT_PORT, DEFAULT_WS_PORT))
    except StartError:
        if None not in (port, ws_port):
            raise
    return running.enter_context(_broker(given, port, ws_port, 0, 0))


def _broker(
    given: dict[str, Any], port: int | None, ws_port: int | None, default: int, ws_default: int
) -> Broker:
    return Broker(
        **given,
        port=default if port is None else port,
        ws_port=ws_default if ws_port is None else ws_port,
        # Nobody signs in, so other web pages may connect only if somebody asked for the port.
        ws_same_origin=ws_port is None,
    )


def _stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set. A second one ends the process at once."""
    stop = threading.Event()

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    return stop


def _announce(broker: Broker, output: Output, *, kept: bool) -> None:
    if output.as_json:
        urls = {"url": broker.url, "ws_url": broker.ws_url, "console_url": broker.console_url}
        output.row({**urls, "data_dir": broker.data_dir})
        return
    output.text(f"mq9fast {VERSION} listening on {broker.url}")
    output.text(f"data in {broker.data_dir}, {'kept' if kept else 'removed at the end'}")
    if broker.ws_url is not None:
        output.text(f"console on {broker.console_url}, WebSocket clients on {broker.ws_url}")
    for snippet in SNIPPETS:
        output.text(f"\n# {snippet.title}\n{snippet.text.replace('URL', broker.url)}")
    output.text("\nCtrl-C ends the broker.")
