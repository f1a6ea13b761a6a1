FORMAT_VERSION: int
MAX_ID_EPOCH: int
MAILBOXES: bytes
MESSAGES: bytes
IDS_RANK: int
DELETION_BITMAP_VERSION: int
REPLACED_RANK: int
DELAYED_RANK: int

class CorruptRecord(Exception): ...  # noqa: N818

def mailbox_key(address: bytes) -> bytes: ...
def message_key(uid: int, rank: int, msg_id: int) -> bytes: ...
