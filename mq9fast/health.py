"""The list of faults that a broker has now. While there are any, `/healthz` answers 503 with them.

The parts of the broker report and clear faults; `monitoring/routes.py` shows them.
"""


class Health:
    """The current faults of one broker. Each has a name, which only one part of the broker uses."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}

    def report(self, name: str, reason: str) -> None:
        """Add a fault, or replace the reason of a fault. `reason`: a sentence without a full stop."""
        self._faults[name] = reason

    def clear(self, name: str) -> None:
        """Remove a fault, if it is there."""
        self._faults.pop(name, None)

    def has(self, name: str) -> bool:
        """Whether this fault is there."""
        return name in self._faults

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self._faults

    @property
    def reasons(self) -> list[str]:
        """The reasons of all faults, the oldest first."""
        return list(self._faults.values())
