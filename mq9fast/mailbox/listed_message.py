"""Encodes one stored message as JSON, for LIST: a page of a mailbox, or the newest message of one.

`mailbox/listing.py` and `mailbox/board.py` call `encode_message`. Nothing here reads the store.
"""

import base64

import msgspec

from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.protocol.address import PRIORITIES
from mq9fast._core.protocol.headers import SENDER_START
from mq9fast._core.storage.record import DELAYED_RANK

# The JSON size of a longer text is counted before the text is encoded.
LONG_TEXT_BYTES = 65536
# Characters that take two bytes in JSON, and characters that take six.
ESCAPED = b'"\\\b\f\n\r\t'
CONTROLS = bytes(set(range(32)) - set(ESCAPED))

# A message as `stored_messages` or `delayed_messages` gives it: place, time in broker milliseconds, header,
# payload, msg_id; for a delayed one also when it is due, in broker milliseconds.
Message = tuple[int, int, bytes, bytes, int] | tuple[int, int, bytes, bytes, int, int]
NAME = 4


class Entry(msgspec.Struct, omit_defaults=True):
    """One message of a page. At most one of payload, payload_base64 and payload_omitted is set."""

    msg_id: int
    priority: str
    create_time: int
    size: int
    headers: dict[str, str | list[str]]
    sender: str = msgspec.field(default="", name="from")
    deliveries: int = 0
    key: str = ""
    payload: str | None = None
    payload_base64: str | None = None
    payload_omitted: bool = False
    deliver_at: int | None = None


def encode_message(
    rank: int,
    message: Message,
    time: BrokerTime,
    max_bytes: int,
    *,
    meta_only: bool = False,
    deliveries: int = 0,
) -> bytes:
    """Encode one message as JSON of at most `max_bytes`. `rank`: DELAYED_RANK more for a delayed one.

    If the message alone would not fit, its payload is omitted, its headers and key if that is not enough,
    and then its sender. `meta_only`: without its payload in any case. `deliveries`: how many of its
    deliveries failed.
    """
    _, created_ms, header, payload, msg_id, *due_ms = message
    headers = read_headers(header) if len(header) <= max_bytes else {}
    priority, create_time = PRIORITIES[rank % DELAYED_RANK], time.wall_ms(created_ms) // 1000
    entry = Entry(msg_id, priority, create_time, len(payload), headers, _read_sender(header), deliveries)
    if due_ms:
        entry.deliver_at = time.wall_ms(due_ms[0]) // 1000
    entry.key = _read_key(headers)
    if not meta_only:
        _put_payload(entry, payload, max_bytes)
    encoded = msgspec.json.encode(entry)
    if len(encoded) <= max_bytes:
        return encoded
    entry.payload = entry.payload_base64 = None
    entry.payload_omitted = True
    encoded = msgspec.json.encode(entry)
    if len(encoded) > max_bytes:
        entry.headers = {}
        entry.key = ""
        encoded = msgspec.json.encode(entry)
    if len(encoded) > max_bytes:
        entry.sender = ""
        encoded = msgspec.json.encode(entry)
    return encoded


def _put_payload(entry: Entry, payload: bytes, max_bytes: int) -> None:
    """Set the payload of an entry, or `payload_omitted` if it cannot fit into `max_bytes`."""
    if len(payload) <= max_bytes:
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            if len(payload) // 3 * 4 <= max_bytes:
                entry.payload_base64 = base64.b64encode(payload).decode()
                return
        else:
            if len(payload) <= LONG_TEXT_BYTES or _json_bytes(payload) <= max_bytes:
                entry.payload = text
                return
    entry.payload_omitted = True


def _json_bytes(text: bytes) -> int:
    """The size of a text in JSON, without quotes."""
    escaped = len(text) - len(text.translate(None, ESCAPED))
    controls = len(text) - len(text.translate(None, CONTROLS))
    return len(text) + escaped + 5 * controls


def _read_sender(block: bytes) -> str:
    """The name of the client that sent a message, as the broker stored it; "" if it had none."""
    if not block.startswith(SENDER_START):
        return ""
    name, _, _ = block[len(SENDER_START) :].partition(b"\r")
    return name.decode("utf-8", "replace")


def _read_key(headers: dict[str, str | list[str]]) -> str:
    """The key of a message; "" if it has none. That of an answer is what it answers. A dead letter keeps the
    headers, but has no key."""
    named = {name.lower(): value for name, value in headers.items() if name[:4].lower() == "mq9-"}
    key = "" if "mq9-dead-from" in named else named.get("mq9-key") or named.get("mq9-in-reply-to", "")
    return key if isinstance(key, str) else ""


def read_headers(block: bytes) -> dict[str, str | list[str]]:
    """The fields of a NATS header block (ADR-4), by name. A repeated name has the list of its values."""
    headers: dict[str, str | list[str]] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, text = line.partition(b":")
        if not colon:
            continue
        key, value = name.decode("utf-8", "replace"), text.strip().decode("utf-8", "replace")
        known = headers.get(key)
        if known is None:
            headers[key] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            headers[key] = [known, value]
    return headers
