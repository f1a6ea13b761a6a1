"""A typed client for mailboxes, on nats-py: `async with mq9fast.connect() as mq9:`. See docs/client.md.

For programs without an event loop: `with mq9fast.connect_sync() as mq9:`.

It imports nothing of the broker.
"""

from mq9fast.client.answers import Answer
from mq9fast.client.approval import Action, ApprovalRequest, Decision
from mq9fast.client.client import Mq9, connect
from mq9fast.client.errors import (
    BadContext,
    BadRequest,
    ClientClosed,
    ConnectionLost,
    GiveBack,
    InvalidAddress,
    InvalidBody,
    InvalidTicket,
    LimitExceeded,
    MailboxConflict,
    MailboxNotFound,
    MessageNotFound,
    MessagesDropped,
    Mq9Error,
    NoAnswer,
    NoAnswerYet,
    NoBroker,
    NotMq9,
    PermissionDenied,
    Reject,
    SignInFailed,
    StoreUnavailable,
    TimedOut,
    UnknownCommand,
    WrongAction,
)
from mq9fast.client.mailbox import Mailbox, Status
from mq9fast.client.message import Message
from mq9fast.client.replies import (
    Created,
    Event,
    ListedMessage,
    MailboxInfo,
    Priority,
    PublicMailbox,
    Sent,
    Settled,
)
from mq9fast.client.stream import Events, Member, Watcher
from mq9fast.client.sync.client import SyncMq9, connect_sync
from mq9fast.client.sync.mailbox import SyncMailbox, SyncStatus
from mq9fast.client.sync.message import SyncAnswer, SyncMessage
from mq9fast.client.sync.stream import SyncEvents, SyncMember, SyncWatcher
from mq9fast.client.ticket import Ticket

__all__ = [
    "Action",
    "Answer",
    "ApprovalRequest",
    "BadContext",
    "BadRequest",
    "ClientClosed",
    "ConnectionLost",
    "Created",
    "Decision",
    "Event",
    "Events",
    "GiveBack",
    "InvalidAddress",
    "InvalidBody",
    "InvalidTicket",
    "LimitExceeded",
    "ListedMessage",
    "Mailbox",
    "MailboxConflict",
    "MailboxInfo",
    "MailboxNotFound",
    "Member",
    "Message",
    "MessageNotFound",
    "MessagesDropped",
    "Mq9",
    "Mq9Error",
    "NoAnswer",
    "NoAnswerYet",
    "NoBroker",
    "NotMq9",
    "PermissionDenied",
    "Priority",
    "PublicMailbox",
    "Reject",
    "Sent",
    "Settled",
    "SignInFailed",
    "Status",
    "StoreUnavailable",
    "SyncAnswer",
    "SyncEvents",
    "SyncMailbox",
    "SyncMember",
    "SyncMessage",
    "SyncMq9",
    "SyncStatus",
    "SyncWatcher",
    "Ticket",
    "TimedOut",
    "UnknownCommand",
    "Watcher",
    "WrongAction",
    "connect",
    "connect_sync",
]
