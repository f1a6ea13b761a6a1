"""The index of all mailboxes; the contract, and who uses it, is in mailbox_index.pxd."""

from collections import deque
from itertools import islice

from cpython.ref cimport PyObject
from libc.stdint cimport uint16_t, uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.check cimport check
from mq9fast._core.base.heap cimport Heap, HeapItem
from mq9fast._core.base.ordered_bytes cimport OrderedBytes
from mq9fast._core.base.view cimport View, same, to_bytes, view_of
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_keys cimport MailboxKeys, loaded_keys
from mq9fast._core.mailbox.options cimport MailboxOptions, unpack_options
from mq9fast._core.mailbox.remembered_ids cimport RememberedIds
from mq9fast._core.mailbox.times cimport Fronts
from mq9fast._core.mailbox.uid_set cimport UidSet
from mq9fast._core.protocol.address cimport valid_address
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport MailboxRecord, address_in, unpack_mailbox
from mq9fast._core.storage.row_format cimport DELAYED_RANK, EPOCH_BITS

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    LOAD_CHUNK = 16


cdef class MailboxIndex:
    """All mailboxes of a broker by address, the deadlines of those that expire, and totals of all."""

    def __cinit__(self, uint64_t seed, uint64_t next_uid, uint16_t id_epoch=0):
        self.table = BytesMap(seed)
        self.public_addresses = OrderedBytes()
        self.deadlines = Heap()
        self.fronts = Fronts()
        self.thinning_queue = deque()
        self.id_deadlines = Heap()
        self.ids_to_load = deque()
        self.keys_to_check = []
        self.next_uid = next_uid
        self.id_epoch = id_epoch

    cdef Mailbox look_up(self, View address):
        """The mailbox of the address; None if there is none or it is past its deadline."""
        cdef PyObject* found
        cdef Mailbox last_found = self.last_found
        if last_found is None or not last_found.exists or not same(view_of(last_found.address), address):
            found = self.table.find(address)
            if found is NULL or not (<Mailbox>found).exists:
                return None
            self.last_found = last_found = <Mailbox>found
        return None if last_found.past_deadline(self.expiry_clock_ms) else last_found

    cdef Mailbox look_up_or_create(self, View address):
        """The object of the address, which may not exist or be past its deadline: see `is_visible`."""
        cdef PyObject* found = self.table.find(address)
        cdef Mailbox mailbox
        if found is not NULL:
            return <Mailbox>found
        mailbox = Mailbox(to_bytes(address))
        self.table.insert(mailbox.address, mailbox)
        return mailbox

    cdef int remove_if_unused(self, Mailbox mailbox) except -1:
        """Remove the object of an address that has neither a mailbox nor consumers."""
        if not mailbox.exists and not mailbox.consumers:
            check(mailbox.expiry.slot < 0, b"an object that goes is in no heap")
            self.table.remove(view_of(mailbox.address))
        return 0

    cdef int schedule(self, Mailbox mailbox) except -1:
        """Put the mailbox's deadline into the heap. If the heap has an earlier one, that one stays."""
        cdef HeapItem* item = &mailbox.expiry
        if not mailbox.ttl_seconds:
            self.deadlines.remove(item)
        elif item.slot < 0:
            item.major = mailbox.deadline_ms()
            item.minor = mailbox.uid
            self.deadlines.push(item)
        elif mailbox.deadline_ms() < item.major:
            item.major = mailbox.deadline_ms()
            self.deadlines.restore_order(item)
        return 0

    cdef int schedule_ids(self, Mailbox mailbox) except -1:
        """Put the time when the mailbox may forget its oldest id into the heap."""
        cdef RememberedIds ids = mailbox.ids
        cdef HeapItem* item
        if ids is None or not ids.loaded or ids.count() == 0:
            return 0
        item = &ids.expiry
        # What is in no row yet was added just now, or a little later.
        item.major = self.now_ms if ids.row_count() == 0 else ids.rows[ids.first_row].created_ms
        item.major += mailbox.duplicate_window_ms()
        item.minor = mailbox.uid
        item.owner = <void*>mailbox
        if item.slot < 0:
            self.id_deadlines.push(item)
        else:
            self.id_deadlines.restore_order(item)
        return 0

    cdef void drop_ids(self, Mailbox mailbox) noexcept:
        """Forget the ids of a mailbox, in memory only."""
        if mailbox.ids is not None:
            self.id_deadlines.remove(&mailbox.ids.expiry)
            self.remembered_ids -= <uint64_t>mailbox.ids.count()
            mailbox.ids = None

    cdef void message_added(self, Mailbox mailbox, int rank, uint64_t size) noexcept:
        mailbox.count[rank] += 1
        mailbox.size_bytes += size
        self.message_count += 1
        self.size_bytes += size
        mailbox.check_ids()

    cdef void message_removed(self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t size) noexcept:
        """Count a message as deleted. The head moves past a deleted first message."""
        if not mailbox.needs_reload:
            check(mailbox.count[rank] > 0, b"a message that is removed was counted")
            check(size <= mailbox.size_bytes, b"the bytes of a message that is removed were counted")
            check(0 < self.message_count and size <= self.size_bytes, b"the totals count every message")
        mailbox.count[rank] -= 1
        mailbox.size_bytes -= size
        self.message_count -= 1
        self.size_bytes -= size
        if mailbox.count[rank] == 0:
            mailbox.head[rank] = mailbox.next_id
        elif mailbox.head[rank] == msg_id:
            mailbox.head[rank] = msg_id + 1

    cdef int queue_for_thinning(self, Mailbox mailbox) except -1:
        mailbox.in_thinning_queue = True
        self.thinning_queue.append(mailbox)
        return 0

    cdef void subtract_totals(self, Mailbox mailbox) noexcept:
        """Subtract the mailbox from the totals of all mailboxes."""
        check(self.live_count > 0, b"a mailbox that goes was counted")
        check(mailbox.needs_reload or mailbox.total() <= self.message_count, b"its messages were counted")
        check(mailbox.needs_reload or mailbox.size_bytes <= self.size_bytes, b"its bytes were counted")
        check(mailbox.dead_bytes <= self.dead_bytes, b"its dead bytes were counted")
        self.live_count -= 1
        self.dead_bytes -= mailbox.dead_bytes
        self.message_count -= mailbox.total()
        self.size_bytes -= mailbox.size_bytes

    cdef void add_totals(self, Mailbox mailbox) noexcept:
        """Add the mailbox to the totals of all mailboxes."""
        self.live_count += 1
        self.dead_bytes += mailbox.dead_bytes
        self.message_count += mailbox.total()
        self.size_bytes += mailbox.size_bytes

    def __iter__(self):
        """Iterate over a copy of all mailboxes, in no particular order."""
        return iter([mailbox for mailbox in self.table if (<Mailbox>mailbox).exists])

    @property
    def slot_count(self) -> int:
        """Slots of the hash table. When the table grows, the mailboxes move to other slots."""
        return self.table.capacity

    def addresses_after(
        self, bytes after not None, bytes before, Py_ssize_t end_slot, Py_ssize_t max_slots
    ) -> list:
        """The addresses of mailboxes in the `max_slots` slots before `end_slot` that are greater than `after`
        and, unless `before` is None, less than `before`.

        A caller that goes from the last slot to the first, over several turns, misses no mailbox that exists
        all the time, because a removal moves other entries to lower slots only. The exception is a few
        entries whose probe chain wraps around the end of the table.
        """
        cdef list found = []
        cdef Py_ssize_t i
        cdef bytes address
        for i in range(max(end_slot - max_slots, <Py_ssize_t>0), min(end_slot, self.table.capacity)):
            if self.table.slots[i].key is NULL or not (<Mailbox>self.table.slots[i].value).exists:
                continue
            address = <bytes>self.table.slots[i].key
            if address > after and (before is None or address < before):
                found.append(address)
        return found

    def public_from(self, bytes start not None, Py_ssize_t max_count) -> list:
        """The addresses of the first `max_count` public mailboxes from `start` on, in ascending order.

        Mailboxes past their deadline that were not ended yet are among them.
        """
        return self.public_addresses.items_from(view_of(start), max_count)

    def get(self, bytes address not None):
        """The mailbox of a valid address; None if there is none or it is past its deadline."""
        return self.look_up(view_of(address))

    def get_expired(self, bytes address not None):
        """The mailbox of a valid address if it is past its deadline and was not ended yet, else None."""
        cdef PyObject* found = self.table.find(view_of(address))
        cdef Mailbox mailbox
        if found is NULL:
            return None
        mailbox = <Mailbox>found
        return mailbox if mailbox.exists and mailbox.past_deadline(self.expiry_clock_ms) else None

    def load(self, rows, UidSet uids=None) -> None:
        """Load stored mailboxes at the start: pairs (key, record); a key is one byte and the address.

        Adds their uids to `uids`. CorruptRecord for a row that is not a mailbox record.
        """
        cdef bytes key, record
        cdef list chunk
        cdef uint64_t uid
        rows = iter(rows)
        while chunk := list(islice(rows, LOAD_CHUNK)):
            # In a large table each insertion misses the processor's cache: fetch several slots together.
            for key, _ in chunk:
                self.table.prefetch(address_in(key))
            for key, record in chunk:
                uid = self.load_mailbox(address_in(key), record)
                if uids is not None:
                    uids.append(uid)

    cdef uint64_t load_mailbox(self, View address, bytes record) except? 0:
        """Load one mailbox; returns its uid."""
        cdef MailboxRecord stored
        cdef Mailbox mailbox
        cdef MailboxOptions options
        unpack_mailbox(record, &stored)
        options = unpack_options(stored.options)
        if not valid_address(address):
            raise CorruptRecord(f"a mailbox is stored under {to_bytes(address)!r}, which is not an address")
        mailbox = self.look_up_or_create(address)
        self.load_record(mailbox, &stored, options)
        if mailbox.public:
            self.public_addresses.insert(mailbox.address)
        self.next_uid = max(self.next_uid, stored.uid + 1)
        self.newest_ms = max(self.newest_ms, stored.renewed_ms)
        return stored.uid

    cdef int load_record(
        self, Mailbox mailbox, const MailboxRecord* record, MailboxOptions options
    ) except -1:
        """Make it the mailbox of a stored record, and count it in the totals."""
        cdef MailboxKeys keys = mailbox.keys
        mailbox.load(record, self.id_epoch)
        mailbox.keys = loaded_keys(record.key_rows, record.has_replaced, keys)
        mailbox.description = to_bytes(record.description) if record.description.size else None
        mailbox.options = options
        mailbox.times = self.fronts.load(<void*>mailbox, record, options)
        if mailbox.has_id_rows:
            self.ids_to_load.append(mailbox)
        self.add_totals(mailbox)
        self.schedule(mailbox)
        self.queue_if_stale_keys(mailbox)
        return self.queue_if_sparse(mailbox)

    def queue_all_for_thinning(self) -> None:
        """Queue all mailboxes with messages for thinning: their records have no dead bytes yet."""
        cdef Mailbox mailbox
        for mailbox in self:
            if mailbox.total() and not mailbox.in_thinning_queue:
                mailbox.dead_bytes_unknown = True
                self.queue_for_thinning(mailbox)

    def create(self, bytes address not None, bint public) -> Mailbox:
        """Create a mailbox without a TTL. ValueError if the address has one."""
        cdef Mailbox mailbox = self.look_up_or_create(view_of(address))
        if mailbox.exists:
            raise ValueError("the mailbox exists")
        mailbox.initialize(self.next_uid, public, self.id_epoch)
        mailbox.created_ms = self.now_ms
        self.next_uid += 1
        if public:
            self.public_addresses.insert(mailbox.address)
        self.add_totals(mailbox)
        return mailbox

    def renew(self, Mailbox mailbox not None, ttl_seconds=None, bytes description=None) -> None:
        """Start the lifetime again; set the TTL (seconds, 0 = never expires) and description if given."""
        mailbox.renewed_ms = self.now_ms
        if ttl_seconds is not None:
            mailbox.ttl_seconds = ttl_seconds
        if description is not None:
            mailbox.description = description
        self.schedule(mailbox)

    def set_options(self, Mailbox mailbox not None, MailboxOptions options) -> None:
        """Replace the options of a mailbox. Options that are all at their defaults are not kept."""
        mailbox.options = options if options is not None and options.packed else None
        mailbox.times = self.fronts.update(mailbox.times, <void*>mailbox, mailbox.uid, mailbox.options)
        self.schedule_ids(mailbox)

    def end(self, Mailbox mailbox not None) -> None:
        """Remove a mailbox. Its consumers stay attached, and its address may be used again."""
        check(mailbox.exists, b"a mailbox ends once")
        self.deadlines.remove(&mailbox.expiry)
        self.drop_ids(mailbox)
        self.subtract_totals(mailbox)
        mailbox.times = self.fronts.drop(mailbox.times)
        if mailbox.public:
            self.public_addresses.remove(view_of(mailbox.address))
        mailbox.exists = False
        mailbox.keys = None
        self.last_found = None
        self.remove_if_unused(mailbox)

    def reload(self, Mailbox mailbox not None, bytes record) -> None:
        """Set a mailbox to its stored record (None: it is not stored) after a failed write.

        Ids that were assigned stay assigned, because clients may know them.
        """
        cdef MailboxRecord stored
        cdef uint64_t next_id = mailbox.next_id
        cdef uint64_t durable_id = mailbox.durable_id
        cdef MailboxOptions options
        if not mailbox.exists:
            return
        self.drop_ids(mailbox)
        if record is None:
            self.end(mailbox)
            return
        unpack_mailbox(record, &stored)
        options = unpack_options(stored.options)
        self.subtract_totals(mailbox)
        mailbox.times = self.fronts.drop(mailbox.times)
        self.load_record(mailbox, &stored, options)
        mailbox.next_id = mailbox.written_id = max(next_id, stored.next_id)
        mailbox.durable_id = durable_id
        mailbox.check_ids()

    def uncount_refused(self, Mailbox mailbox not None, int rank, uint64_t msg_id, uint64_t size) -> None:
        """Subtract a message that `reload` counted, but that was refused and will be deleted.

        `rank`: for a delayed message, DELAYED_RANK more. IndexError for any other number.
        """
        if DELAYED_RANK <= rank < DELAYED_RANK + RANKS:
            self.message_count -= 1
            self.size_bytes -= size
            mailbox.size_bytes -= size
            mailbox.times.delayed -= 1
            return
        if not 0 <= rank < RANKS:
            raise IndexError(rank)
        self.message_removed(mailbox, rank, msg_id, size)

    def pop_due(self, Py_ssize_t max_count) -> list:
        """Remove up to `max_count` mailboxes that are past their deadline from the heap, and return them.

        Renewing such a mailbox puts it back.
        """
        cdef list due = []
        cdef HeapItem* item
        cdef Mailbox mailbox
        while len(due) < max_count:
            item = self.deadlines.first()
            if item is NULL or item.major > self.expiry_clock_ms:
                break
            mailbox = <Mailbox>item.owner
            check(mailbox.exists, b"only a mailbox that exists has a deadline")
            if not mailbox.past_deadline(self.expiry_clock_ms):
                item.major = mailbox.deadline_ms()
                self.deadlines.restore_order(item)
                continue
            self.deadlines.remove(item)
            due.append(mailbox)
        return due

    def reserve_uids(self, uint64_t next_uid) -> None:
        """Make sure that new mailboxes get uids from `next_uid` on."""
        self.next_uid = max(self.next_uid, next_uid)

    def raise_id_epoch(self, uint16_t id_epoch) -> None:
        """Raise the id epoch for mailboxes that are created from now on."""
        self.id_epoch = max(self.id_epoch, id_epoch)

    def skip_uids(self, uint16_t uid_epoch) -> None:
        """Skip uids that may have been lost. `uid_epoch`: the id epoch when `next_uid` was stored."""
        if uid_epoch < self.id_epoch:
            self.next_uid += <uint64_t>(self.id_epoch - uid_epoch) << EPOCH_BITS
