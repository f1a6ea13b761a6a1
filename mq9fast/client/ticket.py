"""Tickets: a question that was sent, as a short text. Any process that has the text can read the answer."""

import re
from dataclasses import dataclass

from mq9fast.client.errors import InvalidTicket

_FORM = re.compile(r"([a-z0-9_.-]+)/(\d+)@([a-z0-9_.-]+)(?:#([0-9a-f]{64}))?")
_SHA256 = "sha256:"


@dataclass(frozen=True)
class Ticket:
    """`str(ticket)` is `{to}/{msg_id}@{answers}`: the question, and the mailbox that receives the answer.

    The ticket of a request for approval ends with `#` and the digest of the action. A client that knows the
    address of the mailbox may read it: treat the text as a secret where nobody signs in.
    """

    to: str
    msg_id: int
    answers: str
    action_digest: str | None = None

    def __str__(self) -> str:
        what = f"#{self.action_digest.removeprefix(_SHA256)}" if self.action_digest else ""
        return f"{self.question}@{self.answers}{what}"

    @property
    def question(self) -> str:
        """As in the header `Mq9-In-Reply-To` of the answer, which is also its key."""
        return f"{self.to}/{self.msg_id}"

    @classmethod
    def parse(cls, text: "str | Ticket") -> "Ticket":
        """Raises InvalidTicket."""
        if isinstance(text, Ticket):
            return text
        if found := _FORM.fullmatch(text.strip()):
            return cls(found[1], int(found[2]), found[3], found[4] and _SHA256 + found[4])
        raise InvalidTicket(f"'{text}' is not a ticket.")
