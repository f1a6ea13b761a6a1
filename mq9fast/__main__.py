"""The entry point: `python -m mq9fast`, or the console script `mq9fast`.

With flags only it reads the settings, sets up the log, and runs a broker with `server/process.py`. If the
first argument is a word, it is the name of a command, which `cli/app.py` runs. This is the only module that
knows the command line and the environment of the process.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from mq9fast.config.sources import load_settings, unknown_variables
from mq9fast.errors import StartError, UsageError
from mq9fast.log import Log


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, or without one a broker until a signal stops it. Returns the exit status of the process.

    `argv`: the command line without the program's name, by default that of the process.
    Raises SystemExit(0) after printing --help or --version.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments and not arguments[0].startswith("-"):
        from mq9fast.cli.app import run_command

        return run_command(arguments)
    return _serve(arguments)


def _serve(arguments: Sequence[str]) -> int:
    # SIGHUP would end the process while it has no handler. `serve` sets one and unblocks the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # nats-server reopens its log file on SIGUSR1. This broker has no log file, so it ignores the signal.
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    log = Log()
    try:
        load = partial(load_settings, arguments, os.environ, _commands)
        settings = load()
        log.begin(settings.log_level)
        for sentence in unknown_variables(os.environ):
            logging.getLogger("mq9fast").warning("%s", sentence)
        # Imported late, so that --help and errors in the settings do not load the broker.
        from mq9fast.server.process import run
        from mq9fast.server.systemd import ServiceManager

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


def _commands() -> str:
    from mq9fast.cli.commands import list_commands

    return list_commands()


if __name__ == "__main__":
    sys.exit(main())
