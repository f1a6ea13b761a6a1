"""Messages as rows of output."""

import time
from typing import Any

from mq9fast.cli.output import Output
from mq9fast.client import ListedMessage, Message

COLUMNS = ("msg_id", "priority", "age", "from", "size", "payload")
# Of longer payloads a table shows the beginning.
MAX_SHOWN = 200
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def show_message(output: Output, message: Message[Any]) -> None:
    """One line for a message that came."""
    if output.as_json:
        output.row(
            {
                "msg_id": message.msg_id,
                "priority": message.priority,
                "from": message.sender,
                "deliveries": message.deliveries,
                "headers": dict(message.headers),
                "payload": message.text,
            }
        )
    else:
        output.row({"msg_id": message.msg_id, "priority": message.priority, "payload": message.text})


def listed_row(message: ListedMessage, *, as_json: bool) -> dict[str, Any]:
    """A row for a message that LIST shows. As JSON it is whole, with the names of the protocol."""
    row: dict[str, Any] = {"msg_id": message.msg_id, "priority": message.priority}
    if as_json:
        row |= {"create_time": message.create_time, "from": message.sender, "size": message.size}
        row |= {"headers": message.headers, "key": message.key, "deliveries": message.deliveries}
        row |= {"deliver_at": message.deliver_at, "payload": message.payload}
        row |= {"payload_base64": message.payload_base64}
        return {name: value for name, value in row.items() if value not in (None, {})}
    text = message.text if message.data is not None else ""
    shown = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    return row | {
        "age": age(message.create_time),
        "from": message.sender,
        "size": message.size,
        "payload": shown,
    }


def age(since: float | None) -> str:
    """How long ago a Unix time was, such as 5m; "" for none."""
    if since is None:
        return ""
    seconds = max(0, int(time.time() - since))
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"
