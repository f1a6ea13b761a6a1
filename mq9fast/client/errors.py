"""The errors of the client. Each class has the broker's code, or one of the client's own."""

from typing import ClassVar


class Mq9Error(Exception):
    """Base of all errors of the client. `code` is stable: match on the class or on the code."""

    code: str = "error"
    # What to do about it, in one sentence; "" if the sentence of the error says it.
    hint: ClassVar[str] = ""


class BadRequest(Mq9Error):
    """The broker could not read the request: a field or a header has a wrong value."""

    code = "bad_request"


class InvalidAddress(Mq9Error):
    """This is not the address of a mailbox."""

    code = "invalid_address"
    hint = "An address is tokens of a-z, 0-9, - and _, joined by single dots, such as 'agent.writer'."


class MailboxNotFound(Mq9Error):
    """The mailbox was never created, or it has expired."""

    code = "mailbox_not_found"
    hint = "Create it first, with mq9fast create or mq9.mailbox(), or start the broker with --auto-create."


class MailboxConflict(Mq9Error):
    """The mailbox exists with another `public`."""

    code = "mailbox_conflict"
    hint = "A mailbox stays public or private: give the same 'public' as before, or take another address."


class MessageNotFound(Mq9Error):
    """The mailbox has no such message."""

    code = "message_not_found"


class PermissionDenied(Mq9Error):
    """The user may not do this. Broker and subject are in the sentence, where known."""

    code = "permission_denied"
    hint = "Ask the operator of the broker for the permission, or sign in as another user."


class LimitExceeded(Mq9Error):
    """The mailbox or the broker is full. Nothing was stored."""

    code = "limit_exceeded"
    hint = "Delete messages, raise the limit, or let the mailbox drop old ones with discard='old'."


class StoreUnavailable(Mq9Error):
    """The disk of the broker is full or failing."""

    code = "store_unavailable"
    hint = "Nothing is lost: send the request again later, and have a look at the broker's log."


class UnknownCommand(Mq9Error):
    """The broker does not know this command."""

    code = "unknown_command"
    hint = "The broker may be older than this client."


class NoBroker(Mq9Error):
    """No broker could be reached."""

    code = "no_broker"
    hint = "Start one with: mq9fast dev. Another address is given by --server or the variable NATS_URL."


class SignInFailed(Mq9Error):
    """The broker does not accept the user, password, token or key."""

    code = "sign_in_failed"
    hint = "Give --user and --password, --token or --nkey, or set NATS_USER and NATS_PASSWORD."


class TimedOut(Mq9Error, TimeoutError):
    """There was no reply in time. The broker may have carried out the request all the same."""

    code = "timed_out"


class ConnectionLost(Mq9Error):
    """The connection ended before the reply. The broker may have carried out the request all the same."""

    code = "connection_lost"
    hint = "Send it again with an `id`: the mailbox stores a message with a known id only once."


class ClientClosed(Mq9Error):
    """The client is closed, by the program or because the broker refused it."""

    code = "client_closed"


class NotMq9(Mq9Error):
    """The server is a NATS server without mailboxes."""

    code = "not_mq9"
    hint = "Give the address of an mq9fast broker."


class BadContext(Mq9Error):
    """A file that says where the broker is cannot be used: a context of the nats CLI, or a key."""

    code = "bad_context"


class InvalidTicket(Mq9Error):
    """The text is not a ticket, or not one of a request for approval where that is needed."""

    code = "invalid_ticket"
    hint = "A ticket looks like 'approvals/17@agent.answers'."


class MessagesDropped(Mq9Error):
    """A watcher did not read as fast as messages came, and has missed some. They are still in the mailbox."""

    code = "messages_dropped"
    hint = "Watch again to get everything that is stored, or read the mailbox with list()."


class NoAnswer(Mq9Error):
    """A question ended without an answer: `event` is `expired`, `dead`, `replaced` or `deleted`."""

    code = "no_answer"

    def __init__(self, ticket: str, event: str) -> None:
        super().__init__(f"The question {ticket} ended without an answer: {event}.")
        self.ticket = ticket
        self.event = event


class NoAnswerYet(TimedOut):
    """Nobody has answered a question in time. Wait on with `mq9.answer(error.ticket)`, in any process."""

    code = "no_answer_yet"

    def __init__(self, ticket: str) -> None:
        super().__init__(f"Nobody has answered yet. The ticket of the question: {ticket}")
        self.ticket = ticket


class WrongAction(Mq9Error):
    """A decision is about another action than the one that was asked about."""

    code = "wrong_action"


class Reject(Exception):
    """Raise it in `async with message`: the message becomes a dead letter at once, with this reason."""


class GiveBack(Exception):
    """Raise it in `async with message`: the message goes back to its group, and nothing else happens.

    `delay`: seconds before anybody gets it again; without it as long as the mailbox's `backoff` says.
    """

    def __init__(self, delay: float | None = None) -> None:
        super().__init__(delay)
        self.delay = delay


class InvalidBody(Mq9Error, Reject):
    """The body of a message is not what the receiver expects. Within `async with message` it is a Reject."""

    code = "invalid_body"


_OF_THE_BROKER: dict[str, type[Mq9Error]] = {
    kind.code: kind
    for kind in (
        BadRequest,
        InvalidAddress,
        MailboxNotFound,
        MailboxConflict,
        MessageNotFound,
        PermissionDenied,
        LimitExceeded,
        StoreUnavailable,
        UnknownCommand,
    )
}


def error_of_reply(sentence: str, code: str) -> Mq9Error:
    """The error that a reply stands for; an Mq9Error for a code that this client does not know."""
    if kind := _OF_THE_BROKER.get(code):
        return kind(sentence)
    error = Mq9Error(sentence)
    error.code = code
    return error
