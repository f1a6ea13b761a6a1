from typing import TypeAlias

# verb, subject, reply, queue, sid, header, payload, maximum
_Operation: TypeAlias = tuple[int, bytes, bytes, bytes, bytes, bytes, bytes, int]

def materialize(
    data: bytes, control_line_bytes: int = 4096, payload_bytes: int = ...
) -> tuple[list[_Operation], int, int]: ...
