"""Where changes to mailboxes go; see accumulator.pxd."""

from mq9fast._core.commit.commit_group cimport CommitGroup


cdef class Accumulator:
    """One for each broker. `batch` is an empty batch of the store."""

    def __cinit__(self, batch not None):
        self.group = CommitGroup(batch)

    def seal(self) -> CommitGroup:
        """Begin the next group and return the one so far, which has written its batch."""
        cdef CommitGroup sealed = self.group
        cdef CommitGroup following = self.spare
        if following is None:
            following = CommitGroup(sealed.batch)
        else:
            following.renew(sealed.batch)
            self.spare = None
        following.deletes = sealed.deletes
        self.unreleased = sealed
        self.group = following
        self.group_number += 1
        return sealed

    def release(self, CommitGroup sealed not None) -> None:
        """The sealed group was released or has failed. If its memory is small, a later group uses it."""
        self.unreleased = None
        if sealed.bytes < MAX_SPARE_BYTES:
            sealed.clear()
            self.spare = sealed

    @property
    def full(self) -> bool:
        """Whether so much has gathered that clients which send more are stalled."""
        return self.is_full()

    @property
    def max_row_bytes(self) -> int:
        """What may be kept of rows that deletions looked up, in bytes."""
        return self.group.deletes.index.max_bytes

    @max_row_bytes.setter
    def max_row_bytes(self, Py_ssize_t limit) -> None:
        self.group.deletes.index.max_bytes = limit

    def forget_rows(self) -> None:
        """Ask the store again which messages there are. Called by what changes rows past the group, and after
        a write that failed."""
        self.group.deletes.forget()
