"""The grammar of mail_addresses, and of the subject's rest after `MSG.` and `DELETE.`: address and priority.

Pure functions on borrowed bytes; docs/protocol.md, "Addresses", has the grammar in words. `MailboxWriter`,
`Session` and `MailboxIndex` call them for subjects of clients and for stored keys.
"""

from mq9fast._core.base.view cimport View
from mq9fast._core.protocol.literals cimport Rank


cdef enum:
    MAX_ADDRESS_BYTES = 128


cdef bint valid_address(View address) noexcept
cdef bint split_priority(View rest, View* address, Rank* rank) noexcept
cdef bint split_filter(View rest, View* address, int* ranks) noexcept
