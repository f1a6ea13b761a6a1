"""Payloads that name their message, so that each copy of it is recognized and damage is seen.

A payload is `{uid} {bytes of the filling} {filling}`. The filling follows from the uid.
"""

import hashlib


def make_payload(uid: str, filling_bytes: int) -> bytes:
    """The payload of message `uid`, whose uid has no blanks."""
    return f"{uid} {filling_bytes} ".encode() + _filling(uid, filling_bytes)


def read_uid(payload: bytes) -> str | None:
    """The uid of a payload, or None if it is not one that `make_payload` made."""
    parts = payload.split(b" ", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        return None
    uid = parts[0].decode(errors="replace")
    return uid if parts[2] == _filling(uid, int(parts[1])) else None


def _filling(uid: str, size: int) -> bytes:
    # Text, as LIST shows it; and not of one letter, so that a page in the wrong place shows.
    unit = hashlib.blake2b(uid.encode()).hexdigest().encode()
    return (unit * (size // len(unit) + 1))[:size]
