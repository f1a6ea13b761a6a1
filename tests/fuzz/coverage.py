"""Which inputs take a new path through the core. Only the core of `make sanitize` tells."""

import ctypes


class Coverage:
    """What the core did since `begin`, compared with all before."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self.counts = hasattr(library, "coverage_begin")
        self._library = library if self.counts else None

    def begin(self) -> None:
        if self._library is not None:
            self._library.coverage_begin()

    def is_new(self) -> bool:
        """Whether something happened since `begin` for the first time, or more often than ever before."""
        return self._library is not None and self._library.coverage_end() > 0

    @property
    def edges(self) -> int:
        """How many edges between branches were taken so far."""
        return 0 if self._library is None else int(self._library.coverage_edges())
