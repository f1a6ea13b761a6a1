"""The commit group that gathers now, and the one before it; the contract is in accumulator.pxd."""

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.commit.commit_group cimport CommitGroup


cdef class Accumulator:
    """One for each broker. `batch` is an empty batch of the store."""

    def __cinit__(self, batch not None):
        self.group = CommitGroup(batch)

    def seal(self) -> CommitGroup:
        """Begin the next group and return the current one. The caller has written the current one's batch."""
        cdef CommitGroup sealed = self.group
        cdef CommitGroup next_group = self.spare
        if next_group is None:
            next_group = CommitGroup(sealed.batch)
        else:
            next_group.set_batch(sealed.batch)
            self.spare = None
        if CHECKED:
            check(sealed.batch_bytes == 0 and not sealed.touched, b"a sealed group has written its batch")
            check(self.sealed is None, b"at most one sealed group is not released")
            check(next_group.bytes == 0 and not next_group.deferred, b"a new group is empty")
        next_group.deletes = sealed.deletes
        next_group.agenda = sealed.agenda
        self.sealed = sealed
        self.group = next_group
        self.group_number += 1
        return sealed

    def release(self, CommitGroup sealed not None) -> None:
        """The sealed group was released or has failed. If its memory is small, a later group uses it."""
        check(sealed is self.sealed, b"the group that is released was sealed")
        self.sealed = None
        if sealed.bytes < MAX_SPARE_BYTES:
            sealed.clear()
            self.spare = sealed

    @property
    def full(self) -> bool:
        """Whether so much has gathered that clients which send more are stalled."""
        return self.disk_behind or self.is_full()

    def forget_rows(self) -> None:
        """Forget the rows that deletions have looked up, so that they are read from the store again.

        Must be called after a failed write, and by code that changes rows without the commit group.
        """
        self.group.deletes.forget_rows()
