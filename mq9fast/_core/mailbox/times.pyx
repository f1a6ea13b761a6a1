"""What the messages of one mailbox wait for; the contract is in times.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.heap cimport Heap
from mq9fast._core.mailbox.options cimport MailboxOptions
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.expiry_rule cimport ExpiryClock, ExpiryRule
from mq9fast._core.storage.record cimport MailboxRecord


cdef class Times(ExpiryRule):
    """One for each mailbox that has max_age, messages with a life of their own, or delayed ones."""


cdef class Fronts:
    """One for each broker. Nothing is due before the clock is started."""

    def __cinit__(self):
        self.clock = ExpiryClock()
        self.heap = Heap()

    cdef Times new_times(self, void* mailbox, uint64_t uid):
        """For a mailbox that has none. DANGER: the heap borrows the mailbox until `drop`."""
        cdef Times times = Times()
        times.clock = self.clock
        times.front.slot = -1
        times.front.owner = mailbox
        times.front.minor = uid
        return times

    cdef int set_max_age(self, Times times, uint64_t max_age_ms) except -1:
        """Have `Expirer` look at all messages again, if that changes max_age. 0: no message is past it."""
        cdef int rank
        if times.max_age_ms == max_age_ms:
            return 0
        times.max_age_ms = max_age_ms
        for rank in range(RANKS):
            times.passed[rank] = 0
        return self.schedule(times, 0)

    cdef int schedule(self, Times times, uint64_t due_ms) except -1:
        """Have `Expirer` look at the first messages of the mailbox at this time, if it has max_age."""
        self.heap.remove(&times.front)
        if times.max_age_ms:
            times.front.major = due_ms
            self.heap.push(&times.front)
        return 0

    cdef Times load(self, void* mailbox, const MailboxRecord* record, MailboxOptions options):
        """The times of a mailbox that was loaded from its record; None if it has none."""
        cdef Times times = None
        if record.has_own_lives or record.has_names or record.delayed:
            times = self.new_times(mailbox, record.uid)
            times.own_lives = record.has_own_lives
            times.has_names = record.has_names
            times.delayed = record.delayed
        return self.update(times, mailbox, record.uid, options)

    cdef Times update(self, Times times, void* mailbox, uint64_t uid, MailboxOptions options):
        """The times of a mailbox whose options may have changed."""
        cdef uint64_t max_age_ms = 0 if options is None else options.max_age_ms
        if times is None and max_age_ms:
            times = self.new_times(mailbox, uid)
        if times is not None:
            self.set_max_age(times, max_age_ms)
        return times

    cdef Times drop(self, Times times):
        """The mailbox has ended, or is read from the store again: it has no times. They may be None."""
        if times is not None:
            self.heap.remove(&times.front)
        return None
