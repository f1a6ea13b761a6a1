"""The tests that do not run on a replicated log (`make test-log`), each with the reason.

A key is a file of tests, or a test of a file as pytest names it, without parameters unless they matter.
"""

NOT_ON_LOG: dict[str, str] = {}


def reason_not_on_log(nodeid: str) -> str:
    """Why the test with this name does not run on a log, or ""."""
    file, _, rest = nodeid.partition("::")
    test = f"{file}::{rest.partition('[')[0]}"
    return NOT_ON_LOG.get(nodeid) or NOT_ON_LOG.get(test) or NOT_ON_LOG.get(file, "")
