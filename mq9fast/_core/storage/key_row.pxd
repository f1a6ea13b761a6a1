"""The codec of rows of keys (Mq9-Key): which message of a mailbox has a key. `row_format` has a drawing.

`CommitGroup` packs them, and `Replacer` reads them.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.sip_hash cimport Hash128


cdef bytes key_of_row(uint64_t uid, Hash128 hashed)
cdef bytes pack_key_row(int rank, uint64_t msg_id)
cdef int unpack_key_row(bytes value, int* rank, uint64_t* msg_id) except -1
