"""The owner's end of the log: gathers the batches that the store has written, and appends them as records.

One append is under way at a time. So the number of the next record is known when a batch is written, and is
part of it. A record that the log has no space for is appended again later, before anything else.
"""

from collections.abc import Callable

from mq9fast.cluster.log import Log, LogError
from mq9fast.cluster.record import Chain, Position, pack_record


class LogWriter:
    """Writes to a log from its last record on, as the owner. `chain`: where the owner is.

    `records`, `bytes`: how many records the log has acknowledged, and their size.
    """

    def __init__(self, log: Log, chain: Chain) -> None:
        self.log = log
        self.chain = chain
        self.records = 0
        self.bytes = 0
        self._appended = chain  # after the last batch that is in a record
        self._batches: list[bytes] = []
        self._parts: list[bytes] = []  # of the record that is under way, without those that are stored
        self._first = log.end() + 1  # of the next record
        self._was_full = False
        self._done: Callable[[LogError | None], None] | None = None

    @property
    def has_unappended(self) -> bool:
        """Whether the log lacks something that the store has written."""
        return bool(self._batches or self._parts)

    def place(self, changes: bytes) -> Position:
        """The position of a batch that would be added now."""
        return Position(self._first, self.chain.after(changes), self.log.end())

    def add(self, changes: bytes, position: Position) -> None:
        """Add a batch to the next record, after the store has written it."""
        self.chain = position.chain
        self._batches.append(changes)

    def append(self, done: Callable[[LogError | None], None]) -> None:
        """Append everything that was added so far, or an empty record; then call `done(failure)`.

        After LogFull the same may be tried again. Any other failure is final.
        """
        assert self._done is None, "one append is under way at a time"
        self._done = done
        self._was_full = bool(self._parts)
        if not self._was_full:
            self._pack()
        self._append_part()

    def _pack(self) -> None:
        batches, self._batches = self._batches, []
        self._parts = pack_record(self._appended, batches, self.chain, self.log.max_record)
        self._appended = self.chain
        self._first += len(self._parts)

    def _append_part(self) -> None:
        self.log.append(self._parts[0], self._first - len(self._parts) - 1, self._part_done)

    def _part_done(self, sequence: int | None, error: LogError | None) -> None:
        if sequence is None:
            self._finish(error or LogError("the log gave no reason"))
            return
        self.records += 1
        self.bytes += len(self._parts.pop(0))
        if not self._parts and self._was_full:
            # An earlier call has packed this record: what was added since then follows.
            self._was_full = False
            self._pack()
        if self._parts:
            self._append_part()
        else:
            self._finish(None)

    def _finish(self, error: LogError | None) -> None:
        done, self._done = self._done, None
        assert done is not None
        done(error)
