"""What the tools find in a data directory: how much it holds, and what is wrong."""

from typing import Any

import msgspec

from mq9fast.maintenance.stored_rows import PRIORITIES
from mq9fast.storage.layout import RANKS


class Problem(msgspec.Struct, omit_defaults=True):
    """One thing that is wrong.

    `file`: where it is, "" if rows of the store say so. `mailbox`, `priority`, `first_id`, `last_id`,
    `messages`, `bytes`: which messages are concerned, as far as that is known. `loses`: what was stored
    cannot be read, or no broker starts with the directory.
    """

    reason: str
    file: str = ""
    mailbox: str = ""
    priority: str = ""
    first_id: int | None = None
    last_id: int | None = None
    messages: int | None = None
    bytes: int | None = None
    loses: bool = True

    @property
    def sentence(self) -> str:
        """The problem in a line."""
        about = [self.file, f"mailbox {self.mailbox}" if self.mailbox else "", self.priority, self._ids()]
        about += [f"{self.messages} messages" if self.messages is not None else ""]
        about += [f"{self.bytes} bytes" if self.bytes is not None else ""]
        where = ", ".join(filter(None, about))
        # A reason such as "is missing" has the file as its subject.
        join = " " if self.reason.startswith(("is ", "has ")) else ": "
        return where + join + self.reason if where else self.reason

    def _ids(self) -> str:
        if self.last_id is None:
            return "" if self.first_id is None else f"from msg_id {self.first_id} on"
        if self.first_id is None:
            return f"up to msg_id {self.last_id}"
        return f"msg_id {self.first_id}" + (f" to {self.last_id}" if self.last_id > self.first_id else "")


class Holding(msgspec.Struct):
    """How much a store holds. `bytes`: headers and payloads. `delayed`: counted in no priority."""

    mailboxes: int = 0
    critical: int = 0
    urgent: int = 0
    normal: int = 0
    delayed: int = 0
    bytes: int = 0

    def count(self, rank: int, size: int) -> None:
        """Count a message. `rank`: its priority, or RANKS if it is delayed."""
        name = PRIORITIES[rank] if rank < RANKS else "delayed"
        setattr(self, name, getattr(self, name) + 1)
        self.bytes += size

    @property
    def messages(self) -> int:
        """All messages."""
        return self.critical + self.urgent + self.normal + self.delayed


class Report(msgspec.Struct):
    """What `mq9fast check` says of a directory.

    `ended`: how its last broker ended: "stopped", "killed", "power cut" or "unknown". `log_end`: how far the
    log can be read. `lost`, `not_durable`: changes that a start would drop; of the latter nobody was told
    that they are durable.
    """

    directory: str
    format: int | None = None
    sync: str = ""
    ended: str = "unknown"
    tables: int = 0
    table_bytes: int = 0
    log_files: int = 0
    log_bytes: int = 0
    segments: int = 0
    segment_bytes: int = 0
    log_end: str = ""
    lost: int = 0
    not_durable: int = 0
    holds: Holding = msgspec.field(default_factory=Holding)
    problems: list[Problem] = []
    notes: list[str] = []

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def summary(self) -> dict[str, Any]:
        """Everything but problems and notes, in one level."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        holds, problems = found.pop("holds"), found.pop("problems")
        del found["notes"]
        return {**found, **holds, "problems": len(problems)}
