class SubjectFilter:
    def __init__(self, allow: tuple[bytes, ...] | None, deny: tuple[bytes, ...], seed: int) -> None: ...

class Permissions:
    def __init__(
        self,
        publish_allow: tuple[bytes, ...] | None,
        publish_deny: tuple[bytes, ...],
        subscribe_allow: tuple[tuple[bytes, bytes | None], ...] | None,
        subscribe_deny: tuple[tuple[bytes, bytes | None], ...],
        seed: int,
        responses: tuple[int, int] | None = None,
    ) -> None: ...
