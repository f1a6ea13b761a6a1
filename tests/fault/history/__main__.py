"""Check a saved history again: python -m tests.fault.history FILE. Exit status 1: rules are broken."""

import sys
from pathlib import Path

from tests.fault.history.checker import find_violations
from tests.fault.history.history import History


def main(path: str) -> int:
    history = History.load(Path(path))
    violations = find_violations(history)
    for violation in violations:
        print(violation)
    print(f"{history.operations} operations, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
