class MailboxOptions:
    def __init__(
        self,
        base: MailboxOptions | None = None,
        *,
        max_messages: int | None = None,
        max_bytes: int | None = None,
        duplicate_window_ms: int | None = None,
        max_in_flight: int | None = None,
    ) -> None: ...
    @property
    def max_messages(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def duplicate_window_ms(self) -> int: ...
    @property
    def max_in_flight(self) -> int: ...
    @property
    def packed(self) -> bytes: ...
