"""Rows of messages whose values cannot be read, as problems: one for all rows of a missing segment."""

from mq9fast.maintenance import stored_rows
from mq9fast.maintenance.report import Problem
from mq9fast.maintenance.stored_rows import PRIORITIES, Row
from mq9fast.storage.segment import segment_name


class LostRows:
    """Adds problems to a list."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._of_segments: dict[tuple[int, str, str], Problem] = {}

    def add(self, mailbox: str, row: Row, stored: bytes, deleted: int, error: Exception) -> None:
        """Add a row. `stored`: its value, or value pointer. `deleted`: the bits of its deletion bitmap.
        `error`: CorruptRecord, or FileNotFoundError if the segment is missing."""
        pointer = stored_rows.read_pointer(stored)
        problem = Problem(str(error), mailbox=mailbox)
        if row.priority is not None:
            problem.priority, problem.last_id = PRIORITIES[row.priority], row.msg_id
            problem.first_id = None if row.is_batch else row.msg_id
        if pointer is not None:
            problem.messages = pointer.messages - deleted.bit_count() if row.priority is not None else 0
            problem.file, problem.bytes = segment_name(pointer.segment), pointer.size
        if pointer is None or not isinstance(error, FileNotFoundError):
            self._problems.append(problem)
            return
        problem.reason = "the file is missing"
        key = pointer.segment, mailbox, problem.priority
        earlier = self._of_segments.setdefault(key, problem)
        if earlier is problem:
            self._problems.append(problem)
            return
        earlier.last_id = problem.last_id
        earlier.messages = (earlier.messages or 0) + (problem.messages or 0)
        earlier.bytes = (earlier.bytes or 0) + (problem.bytes or 0)
