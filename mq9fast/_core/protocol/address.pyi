OUR_PREFIX: str
MAILBOX_PREFIX: str
MSG_PREFIX: str
EVENT_PREFIX: str
DELETE_PREFIX: str
PRIORITIES: tuple[str, ...]

def is_address(address: bytes) -> bool: ...
def split_destination(rest: bytes) -> tuple[bytes, int] | None: ...
