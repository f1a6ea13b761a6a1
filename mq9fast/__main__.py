"""The entry point: `python -m mq9fast`, or the console script `mq9fast`.

It reads the settings, sets up the log, and runs a broker with `server/process.py`. It is the only module that
knows the command line and the environment of the process.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from mq9fast.config.sources import load_settings
from mq9fast.errors import StartError
from mq9fast.log import Log


def main(argv: Sequence[str] | None = None) -> int:
    """Run a broker until a signal stops it; returns the exit status of the process.

    `argv`: the command line without the program's name, by default that of the process.
    Raises SystemExit(0) after printing --help or --version.
    """
    # SIGHUP would end the process while it has no handler. `serve` sets one and unblocks the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # nats-server reopens its log file on SIGUSR1. This broker has no log file, so it ignores the signal.
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    log = Log()
    try:
        load = partial(load_settings, sys.argv[1:] if argv is None else argv, os.environ)
        settings = load()
        log.begin(settings.log_level)
        # Imported late, so that --help and errors in the settings do not load the broker.
        from mq9fast.server.process import run
        from mq9fast.server.systemd import ServiceManager

        return run(settings, load, ServiceManager(os.environ))
    except StartError as error:
        log.write(f"mq9fast: {error}")
        return 1
    except Exception:
        logging.getLogger("mq9fast").critical("the broker stopped because of a bug", exc_info=True)
        return 1
    finally:
        log.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        signal.signal(signal.SIGUSR1, before)


if __name__ == "__main__":
    sys.exit(main())
