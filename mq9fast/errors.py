"""The exceptions of the broker, and the sentences that users read: start errors and errors of commands.

Every package may import this module. It does nothing but define them. docs/protocol.md lists codes and
sentences of commands, docs/operations.md the start errors.
"""

import msgspec

from mq9fast._core.protocol.address import MAILBOX_PREFIX
from mq9fast._core.storage.record import CorruptRecord


class StartError(Exception):
    """The broker cannot start. The message is one sentence for the operator that names what is wrong."""


class SettingsError(StartError):
    """The settings are not valid. The message names the setting, and never contains a secret."""


class UsageError(SettingsError):
    """The command line cannot be read: an unknown flag, a flag without its value, or a word too many."""


def bad_file_error(directory: object, name: str, what: str) -> StartError:
    """The StartError for a missing or changed file of a data directory. `what`: such as "is missing"."""
    return StartError(
        f"{name} in the data directory {directory} {what}: "
        "restore the directory from a backup, or copy what can be read with mq9fast salvage"
    )


class StoreError(Exception):
    """The store could not read or write."""


class ReadError(StoreError):
    """The store could not read."""


# Reading messages raises these: the store failed, or a record is corrupt.
UNREADABLE = (StoreError, CorruptRecord)


# The sentence of each code. The codes never change.
SENTENCES = {
    "bad_request": "The request is not valid for this command.",
    "invalid_address": (
        "A mail_address is 1 to 128 characters: tokens of a-z, 0-9, - and _ joined by single dots; "
        "the last token must not be a priority."
    ),
    "mailbox_not_found": "There is no mailbox with this address.",
    "mailbox_conflict": "The mailbox already exists with another value of 'public'.",
    # Reserved by the protocol: DELETE answers {"deleted": false} instead.
    "message_not_found": "There is no such message in the mailbox.",
    "permission_denied": "The permissions of this client do not allow this.",
    "limit_exceeded": "A limit of the broker or of the mailbox is reached.",
    "store_unavailable": "The store is not available now: send the request again later.",
    # The prefix ends with a dot.
    "unknown_command": f"Unknown command: there are CREATE, MSG, LIST and DELETE under {MAILBOX_PREFIX}",
}


# Sentences of the core for special cases, by "code: reason".
REASONS = {
    "bad_request: nats_expected": (
        "A mailbox is not a JetStream stream: Nats-Expected- headers do not apply. "
        "Use publish or request instead of js.publish."
    ),
    "bad_request: headers": (
        "The headers are not valid: the line NATS/1.0, then a line 'name: value' for each header, then an "
        "empty line. CR LF ends each line, and no line is folded."
    ),
    "bad_request: unknown_header": "A header with an unknown name begins with Mq9-.",
    "bad_request: repeated_header": "A header that may be given once, such as Nats-Msg-Id, is given twice.",
    "bad_request: empty_header": "A header that is an option, such as Nats-Msg-Id, has no value.",
    "bad_request: times": (
        "A header with a time has a wrong value: Nats-TTL is whole seconds from 1, a duration of at least "
        "one second such as 90s or 1h30m, or never; Mq9-Delay is a duration; Mq9-Deliver-At is a time such "
        "as 2026-01-31T12:00:00Z; only one of these two may be given."
    ),
    "bad_request: mailbox_header": (
        "A header that names a mailbox, such as Mq9-Reply-To, is not a mail_address."
    ),
    "bad_request: receipt_on": (
        "The header Mq9-Receipt-On is a list of settled, expired, dead and replaced, "
        "with commas between them."
    ),
    "bad_request: nats_trace_only": "A mailbox does not store a message with the header Nats-Trace-Only.",
}


class CommandError(Exception):
    """A mailbox command failed. The client gets its code and sentence; the command has no other effect.

    `code`: a key of SENTENCES. `sentence`: replaces the sentence of the code where it can say more.
    """

    def __init__(self, code: str, sentence: str | None = None) -> None:
        self.code = code
        self.sentence = sentence or SENTENCES[code]
        super().__init__(self.sentence)

    def reply(self) -> bytes:
        """The JSON reply (docs/protocol.md, Errors)."""
        return msgspec.json.encode({"error": self.sentence, "code": self.code})


def refusals() -> dict[str, bytes]:
    """The JSON replies that the core sends: one for each key of SENTENCES and of REASONS."""
    replies = {code: CommandError(code).reply() for code in SENTENCES}
    for key, sentence in REASONS.items():
        replies[key] = CommandError(key.partition(":")[0], sentence).reply()
    return replies
