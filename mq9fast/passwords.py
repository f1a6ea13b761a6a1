"""Comparing passwords and tokens with what is expected: plain text, or a bcrypt hash."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mq9fast.users import BCRYPT_HASH

# What bcrypt looks at; a longer password is none that anybody made a hash of.
BCRYPT_BYTES = 72


class Passwords:
    """Compares in constant time. A bcrypt hash takes a tenth of a second and is checked in a thread.

    That a password was right is remembered as a digest under a key of this process, so that a fleet that
    reconnects does not pay for it again.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._key = secrets.token_bytes(32)
        self._proved: dict[str, bytes] = {}
        self._thread: ThreadPoolExecutor | None = None

    def check(self, expected: str, given: str, then: Callable[[bool], None]) -> None:
        """Call `then` with whether `given` is right: at once, or, for a hash, in a later turn of the loop."""
        text = given.encode("utf-8", "surrogatepass")
        if not BCRYPT_HASH.fullmatch(expected):
            then(hmac.compare_digest(expected.encode(), text))
            return
        digest = hmac.digest(self._key, text, hashlib.sha256)
        if hmac.compare_digest(self._proved.get(expected, b""), digest):
            then(True)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "mq9fast-auth")
        work = self._loop.run_in_executor(self._thread, _is_hash_of, expected.encode(), text)

        def done(work: "asyncio.Future[bool]") -> None:
            if work.cancelled():
                return
            if work.result():
                self._proved[expected] = digest
            then(work.result())

        work.add_done_callback(done)

    def forget(self, but: set[str]) -> None:
        """Forget what was proved of hashes that nobody has any longer."""
        self._proved = {known: digest for known, digest in self._proved.items() if known in but}

    def close(self) -> None:
        """Check nothing more; what was not begun is never told."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def _is_hash_of(expected: bytes, text: bytes) -> bool:
    import bcrypt

    if len(text) > BCRYPT_BYTES or b"\x00" in text:
        return False
    return bcrypt.checkpw(text, expected)
