"""The command line: `python -m mq9fast`, or the console script `mq9fast`."""

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
    """Run a broker until it is told to stop; return the exit status of the process.

    `argv` is the command line without the program's name, by default that of the process.
    Raises SystemExit(0) once --help or --version is printed.
    """
    # Without a handler it would end the process; `serve` sets one and unblocks it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # nats-server reopens its log file on it. This log is standard error: there is nothing to reopen.
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    log = Log()
    try:
        load = partial(load_settings, sys.argv[1:] if argv is None else argv, os.environ)
        settings = load()
        log.begin(settings.log_level)
        # Imported late: help and bad settings need none of the broker.
        from mq9fast.server.process import run

        return run(settings, load)
    except StartError as error:
        log.say(f"mq9fast: {error}")
        return 1
    except Exception:
        logging.getLogger("mq9fast").critical("the broker ended with a bug", exc_info=True)
        return 1
    finally:
        log.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        signal.signal(signal.SIGUSR1, before)


if __name__ == "__main__":
    sys.exit(main())
