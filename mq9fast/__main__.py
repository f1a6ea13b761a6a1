"""The entry point: `python -m mq9fast`, or the console script `mq9fast`.

With flags only it reads the settings, sets up the log, and runs a broker with `server/process.py`. If the
first argument is a word, it is the name of a command, which `cli/app.py` runs. This is the only module that
knows the command line and the environment of the process.
"""

import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mq9fast.config.settings import Settings
    from mq9fast.server.process import Serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, or without one a broker until a signal stops it. Returns the exit status of the process.

    `argv`: the command line without the program's name, by default that of the process.
    Raises SystemExit(0) after printing --help or --version.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    # A start makes little garbage, and looking for it takes a tenth of its time. `serve` turns it on again.
    gc.disable()
    try:
        return _run(arguments)
    finally:
        gc.enable()


def _run(arguments: list[str]) -> int:
    if arguments and not arguments[0].startswith("-"):
        from mq9fast.cli.app import run_command

        gc.enable()
        return run_command(arguments)
    from mq9fast.config.flags import signal_argument

    wanted = signal_argument(arguments)
    return _serve(arguments) if wanted is None else _signal(wanted)


def _signal(text: str) -> int:
    from mq9fast.errors import StartError, UsageError
    from mq9fast.server.control import send_signal

    try:
        send_signal(text)
    except StartError as error:
        print(f"mq9fast: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _serve(arguments: Sequence[str]) -> int:
    # SIGHUP would end the process while it has no handler. `serve` sets one and unblocks the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # SIGUSR1 would end the process while it has no handler. `serve` sets one, which reopens the log file.
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    from mq9fast.config.flags import TEST_FLAGS
    from mq9fast.config.sources import load_settings, unknown_variables
    from mq9fast.errors import StartError, UsageError
    from mq9fast.log import Log

    log = Log()
    try:
        load = partial(load_settings, arguments, os.environ, _commands)
        settings = load()
        if TEST_FLAGS.intersection(arguments):
            return _test(settings)
        log.begin(settings.log_level, settings.log_file, settings.log_format)
        for sentence in unknown_variables(os.environ):
            logging.getLogger("mq9fast").warning("%s", sentence)
        # Imported late, so that --help and errors in the settings do not load the broker.
        from mq9fast.server.process import run
        from mq9fast.server.systemd import ServiceManager

        if settings.cluster_log is not None:
            # A node starts to serve at some time, or never.
            gc.enable()
            return run(settings, load, ServiceManager(os.environ), _node_server())
        return run(settings, load, ServiceManager(os.environ))
    except StartError as error:
        log.write(f"mq9fast: {error}")
        return 2 if isinstance(error, UsageError) else 1
    except Exception:
        logging.getLogger("mq9fast").critical("the broker stopped because of a bug", exc_info=True)
        return 1
    finally:
        log.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        signal.signal(signal.SIGUSR1, before)


def _node_server() -> "Serve":
    """What runs a node of a cluster. Raises StartError if a package for that is missing."""
    from mq9fast.errors import StartError

    try:
        from mq9fast.cluster.process import serve_node
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "mq9fast":
            raise
        raise StartError("cluster_log is set, which needs: pip install 'mq9fast[cluster]'") from None
    return serve_node


def _test(settings: "Settings") -> int:
    """Check what the settings name, without starting a broker. Raises StartError."""
    from mq9fast.network.tls import of_monitoring_port, of_websocket_port, tls_context
    from mq9fast.network.websocket.origins import Origins

    for each in (settings, of_websocket_port(settings), of_monitoring_port(settings)):
        tls_context(each)
    Origins(settings)
    print("mq9fast: the settings are valid")
    return 0


def _commands() -> str:
    from mq9fast.cli.commands import list_commands

    return list_commands()


if __name__ == "__main__":
    sys.exit(main())
