"""Inputs to begin with, from the exchanges of tests/wire."""

from pathlib import Path

from tests.wire.script import read, write_bytes

WIRE = Path(__file__).parents[1] / "wire"
# What stands between the writes of one exchange in an input of `targets/session.py`.
NEXT_CLIENT, ADVANCE, END_TURN, SPLIT = b"\x1c", b"\x1d", b"\x1e", b"\x1f"


def exchanges() -> list[bytes]:
    """What the clients of each exchange send: a client's writes, then NEXT_CLIENT."""
    found = []
    for path in sorted(WIRE.glob("*.wire")):
        for block in read(path):
            sent, last = b"", ""
            for (client, action), steps in block.groups("mq9fast"):
                if action != "send":
                    continue
                sent += (NEXT_CLIENT if last not in {"", client} else b"") + write_bytes(list(steps))
                last = client
            # Some exchanges have the longest line or payload that is allowed.
            if 0 < len(sent) <= 2048:
                found.append(sent)
    return found
