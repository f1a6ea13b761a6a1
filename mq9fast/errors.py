"""Every error that a user can meet: why a broker does not start, and what a mailbox command answers."""

import msgspec

from mq9fast._core.storage.record import CorruptRecord


class StartError(Exception):
    """The broker cannot start. The message is one sentence that names the thing."""


class SettingsError(StartError):
    """The settings cannot be used: one sentence that names the culprit and never holds a secret."""


def bad_file_error(directory: object, name: str, what: str) -> StartError:
    """The StartError for a missing or changed file of a data directory. `what`: such as "is missing"."""
    return StartError(f"{name} in the data directory {directory} {what}: restore the directory from a backup")


class StoreError(Exception):
    """The store could not read or write."""


class ReadError(StoreError):
    """The store could not read what it holds."""


# Errors of reading messages back: the store failed, or a record is corrupt.
UNREADABLE = (StoreError, CorruptRecord)


SENTENCES = {
    "bad_request": "The request is not what this command takes.",
    "invalid_address": (
        "A mail_address is 1 to 128 characters: tokens of a-z, 0-9, - and _ joined by single dots; "
        "the last token must not be a priority."
    ),
    "mailbox_not_found": "There is no mailbox with this address.",
    "mailbox_conflict": "The mailbox exists and differs in 'public'.",
    "message_not_found": "There is no such message in the mailbox.",
    "limit_exceeded": "A limit of the broker or of the mailbox is reached.",
    "store_unavailable": "The store cannot take the request now: send it again later.",
    "unknown_command": "There is no such command; see CREATE, MSG, LIST and DELETE under $mq9.AI.MAILBOX.",
}


# What the core refuses with a sentence of its own, by "code: reason".
REASONS = {
    "bad_request: nats_expected": (
        "A mailbox is not a JetStream stream: Nats-Expected- headers do not apply. "
        "Use publish or request instead of js.publish."
    ),
    "bad_request: nats_trace_only": "A mailbox takes no message that is only to be traced (Nats-Trace-Only).",
}


class CommandError(Exception):
    """A mailbox command failed: answered with its code and sentence, and nothing else happens.

    `code` is a key of SENTENCES; `sentence` says more than the code's own where that helps.
    """

    def __init__(self, code: str, sentence: str | None = None) -> None:
        self.code = code
        self.sentence = sentence or SENTENCES[code]
        super().__init__(self.sentence)

    def reply(self) -> bytes:
        """The JSON reply (docs/protocol.md, Errors)."""
        return msgspec.json.encode({"error": self.sentence, "code": self.code})


def refusals() -> dict[str, bytes]:
    """The JSON replies of the core: of each code with its own sentence, and of each of REASONS."""
    replies = {code: CommandError(code).reply() for code in SENTENCES}
    for key, sentence in REASONS.items():
        replies[key] = CommandError(key.partition(":")[0], sentence).reply()
    return replies
