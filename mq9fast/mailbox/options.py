"""The options of mailboxes as clients write and read them: fields of CREATE, and of its reply.

`mailbox/commands.py` decodes the fields, and `mailbox/lifecycle.py` changes the options of a mailbox. Nothing
here has any other effect.
"""

from typing import Annotated, Literal

import msgspec

from mq9fast._core.mailbox.options import MailboxOptions
from mq9fast._core.protocol.duration import MAX_SECONDS
from mq9fast.mailbox.address import check_address

# How many times a `backoff` may list.
MAX_BACKOFFS = 64
# JSON numbers up to here are exact in every client.
MAX_NUMBER = (1 << 53) - 1

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)]


class OptionFields(msgspec.Struct, frozen=True):
    """The fields of CREATE that are options (docs/protocol.md). None: the field is missing."""

    max_messages: Number | None = None
    max_bytes: Number | None = None
    duplicate_window: Seconds | None = None
    discard: Literal["new", "old"] | None = None
    max_age: Seconds | None = None
    max_in_flight: Number | None = None
    ack_wait: Seconds | None = None
    max_deliver: Number | None = None
    dead_letter: str | None = None
    dead_letter_expired: bool | None = None
    backoff: Seconds | Annotated[list[Seconds], msgspec.Meta(max_length=MAX_BACKOFFS)] | None = None
    receipts_to: str | None = None

    @property
    def are_given(self) -> bool:
        """Whether any of them is given."""
        return any(getattr(self, name) is not None for name in OptionFields.__struct_fields__)

    def change(self, options: MailboxOptions | None) -> MailboxOptions | None:
        """These options, changed by the given fields; None stands for no options."""
        if not self.are_given:
            return options
        changed = MailboxOptions(
            options,
            max_messages=self.max_messages,
            max_bytes=self.max_bytes,
            duplicate_window_ms=_milliseconds(self.duplicate_window),
            discards_old=None if self.discard is None else self.discard == "old",
            max_age_ms=_milliseconds(self.max_age),
            max_in_flight=self.max_in_flight,
            ack_wait_ms=_milliseconds(self.ack_wait),
            max_deliver=self.max_deliver,
            dead_letter=None if self.dead_letter is None else self.dead_letter.encode(),
            dead_letter_expired=self.dead_letter_expired,
            backoff_ms=_backoff_ms(self.backoff),
            receipts_to=_address(self.receipts_to),
        )
        return changed if changed.packed else None


def show(options: MailboxOptions | None) -> dict[str, object]:
    """The options that are not at their defaults, by the names of their fields."""
    if options is None:
        return {}
    defaults = _values(MailboxOptions())
    return {name: value for name, value in _values(options).items() if value != defaults[name]}


def _values(options: MailboxOptions) -> dict[str, object]:
    return {
        "max_messages": options.max_messages,
        "max_bytes": options.max_bytes,
        "duplicate_window": _seconds(options.duplicate_window_ms),
        "discard": "old" if options.discards_old else "new",
        "max_age": _seconds(options.max_age_ms),
        "max_in_flight": options.max_in_flight,
        "ack_wait": _seconds(options.ack_wait_ms),
        "max_deliver": options.max_deliver,
        "dead_letter": (options.dead_letter or b"").decode(),
        "dead_letter_expired": options.dead_letter_expired,
        "backoff": _show_backoff(options.backoff),
        "receipts_to": options.receipts_to.decode(),
    }


def _backoff_ms(backoff: float | list[float] | None) -> list[int] | None:
    """The times of a `backoff` in milliseconds. Those that are all 0 are as none."""
    if backoff is None:
        return None
    times = [round(seconds * 1000) for seconds in (backoff if isinstance(backoff, list) else [backoff])]
    return times if any(times) else []


def _show_backoff(times: list[int]) -> float | list[float]:
    """A `backoff` as clients write it: one number, or a list."""
    seconds = [_seconds(milliseconds) for milliseconds in times]
    return seconds[0] if len(seconds) == 1 else seconds


def _address(text: str | None) -> bytes | None:
    """The address of a mailbox; "" stands for none. Raises CommandError."""
    return check_address(text) if text else None if text is None else b""


def _milliseconds(seconds: float | None) -> int | None:
    """The nearest millisecond; but what is not 0 does not become 0, which has a meaning of its own."""
    return None if seconds is None else max(round(seconds * 1000), seconds > 0)


def _seconds(milliseconds: int) -> float:
    """Whole seconds without a fraction."""
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000
