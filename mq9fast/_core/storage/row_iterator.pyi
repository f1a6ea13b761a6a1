from collections.abc import Callable, Iterator

from mq9fast._core.storage.value_reader import ValueReader

class RowIterator:
    def __init__(
        self,
        iterator: object,
        options: object,
        first: bytes,
        end: bytes,
        failed: Callable[[bytes, bytes, Exception], Exception],
        values: ValueReader | None,
        backward: bool = False,
    ) -> None: ...
    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...
    def __next__(self) -> tuple[bytes, bytes]: ...
