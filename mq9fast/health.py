"""What is wrong with a broker now. `/healthz` answers 503 with these reasons while there are any."""


class Health:
    """The present faults of one broker, each under a name that its reporter owns.

    A part of the broker reports a fault when it meets it and clears it when it is over. Reporting the same
    name again replaces the sentence.
    """

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}

    def report(self, name: str, reason: str) -> None:
        """Note a fault. `reason` is a sentence for the operator without a full stop."""
        self._faults[name] = reason

    def clear(self, name: str) -> None:
        """The fault of this name is over, or never was."""
        self._faults.pop(name, None)

    def has(self, name: str) -> bool:
        """Whether this fault is present."""
        return name in self._faults

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self._faults

    @property
    def reasons(self) -> list[str]:
        """The sentences of all present faults, the oldest first."""
        return list(self._faults.values())
