"""The file that the log is written to with `log_file`, which is opened again on SIGUSR1 after a rotation."""

import os

from mq9fast.errors import StartError


class LogFile:
    """A file that is open for appending. Its `descriptor` stays the same when it is opened again.

    Raises StartError if it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.descriptor = self._open()

    def reopen(self) -> None:
        """Open the file at the path again, which may be another one now. Raises StartError, and goes on with
        the old file, if that is not possible."""
        opened = self._open()
        os.dup2(opened, self.descriptor, inheritable=False)
        os.close(opened)

    def close(self) -> None:
        """Close it. Nothing may be written any more."""
        os.close(self.descriptor)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StartError(f"log_file: the file {self._path!r} cannot be opened: {reason}") from error
