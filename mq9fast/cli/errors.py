"""The exceptions that end a command."""

from mq9fast.cli.status import Status


class CliError(Exception):
    """A command failed.

    `sentence` says what is wrong, `hint` what to do about it ("" for none). `code` is the broker's error code
    where the broker refused something. None of them contains a secret.
    """

    def __init__(
        self, sentence: str, hint: str = "", *, status: Status = Status.REFUSED, code: str = ""
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.status = status
        self.code = code


class ReaderGoneError(Exception):
    """The reader of standard output has closed it, as `head` does when it has enough."""
