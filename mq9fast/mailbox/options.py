"""The options of mailboxes as clients write and read them: fields of CREATE, and of its reply.

`mailbox/commands.py` decodes the fields, and `mailbox/lifecycle.py` changes the options of a mailbox. Nothing
here has any other effect.
"""

from typing import Annotated

import msgspec

from mq9fast._core.mailbox.options import MailboxOptions

# JSON numbers up to here are exact in every client.
MAX_NUMBER = (1 << 53) - 1

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]


class OptionFields(msgspec.Struct, frozen=True):
    """The fields of CREATE that are options (docs/protocol.md). None: the field is missing."""

    max_messages: Number | None = None
    max_bytes: Number | None = None

    @property
    def are_given(self) -> bool:
        """Whether any of them is given."""
        return any(getattr(self, name) is not None for name in OptionFields.__struct_fields__)

    def change(self, options: MailboxOptions | None) -> MailboxOptions | None:
        """These options, changed by the given fields; None stands for no options."""
        if not self.are_given:
            return options
        changed = MailboxOptions(options, max_messages=self.max_messages, max_bytes=self.max_bytes)
        return changed if changed.packed else None


def show(options: MailboxOptions | None) -> dict[str, int]:
    """The options that are in force, by the names of their fields."""
    if options is None:
        return {}
    shown = {"max_messages": options.max_messages, "max_bytes": options.max_bytes}
    return {name: value for name, value in shown.items() if value}
