from collections.abc import Callable, Iterator

class RowIterator:
    def __init__(
        self,
        iterator: object,
        options: object,
        first: bytes,
        end: bytes,
        failed: Callable[[bytes, bytes, Exception], Exception],
        backward: bool = False,
    ) -> None: ...
    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...
    def __next__(self) -> tuple[bytes, bytes]: ...
