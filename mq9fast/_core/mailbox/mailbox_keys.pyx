"""The keys of a mailbox's messages; the contract, and who uses it, is in mailbox_keys.pxd."""

from libc.stdint cimport uint64_t


cdef class MailboxKeys:
    """Of one mailbox."""

    def __cinit__(self):
        self.replaced = {}

    def set_replaced(self, dict replaced not None) -> None:
        """Set which messages are replaced, msg_id to rank, as the store has it."""
        self.replaced = replaced
        self.uncertain = False


cdef MailboxKeys loaded_keys(uint64_t rows, bint has_replaced, MailboxKeys before):
    """What a mailbox record says of keys, None if that is nothing. `before`: what was in memory before a
    failed write."""
    cdef MailboxKeys keys = before
    if rows == 0 and not has_replaced and before is None:
        return None
    if keys is None:
        keys = MailboxKeys()
    keys.rows = rows
    keys.uncertain = has_replaced or len(keys.replaced) > 0
    keys.queued = False
    return keys
