"""Compares passwords and tokens with those of the settings, which are plain text or bcrypt hashes.

`auth/authenticator.py` calls this module. A bcrypt hash takes about a tenth of a second to check, so a thread
checks it, and the event loop goes on meanwhile.
"""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mq9fast.config.users import BCRYPT_HASH

# bcrypt ignores bytes beyond these. A longer password matches no hash.
BCRYPT_BYTES = 72
# `Passwords` drops waiters that gave up when it has twice as many as after the last time, and at least these.
MIN_TO_PRUNE = 64
# How long the results of one check are delivered within one turn of the event loop.
DELIVERY_SECONDS = 0.002

# Whether the result of a check still matters, such as whether the client is still connected.
StillNeeded = Callable[[], bool]
# Receives whether the password is right, and says whether it still needs the result.
Waiter = tuple[Callable[[bool], None], StillNeeded]


class Passwords:
    """Compares secrets in constant time. Used from the event loop.

    A correct password is remembered as a digest, made with a random key of this process. Equal checks that
    wait at the same time are done once. So clients that all reconnect together, also after a restart of the
    broker, cost one bcrypt check.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._key = os.urandom(32)
        # The digest of the correct password, by bcrypt hash.
        self._verified: dict[str, bytes] = {}
        self._thread: ThreadPoolExecutor | None = None
        # Checks in the order in which the thread does them: by hash and digest, the password and its waiters.
        self._checks: dict[tuple[str, bytes], tuple[bytes, list[Waiter]]] = {}
        self._waiters = 0
        self._max_waiters = MIN_TO_PRUNE
        self._busy = False
        self._closed = False

    def check(
        self, expected: str, given: str, then: Callable[[bool], None], still_needed: StillNeeded
    ) -> None:
        """Call `then` with whether the password `given` matches `expected`.

        `then` is called before this returns, or, for a bcrypt hash, in a later turn of the event loop. For a
        hash it may not be called at all if `still_needed()` was false when the check was to begin.
        """
        # Imported late, because a start must be quick.
        import hmac

        text = given.encode("utf-8", "surrogatepass")
        if not BCRYPT_HASH.fullmatch(expected):
            then(hmac.compare_digest(expected.encode(), text))
            return
        digest = hmac.digest(self._key, text, "sha256")
        if hmac.compare_digest(self._verified.get(expected, b""), digest):
            then(True)
            return
        _, waiters = self._checks.setdefault((expected, digest), (text, []))
        waiters.append((then, still_needed))
        self._waiters += 1
        if self._waiters > self._max_waiters:
            self._prune()
        self._start_next()

    def _prune(self) -> None:
        """Drop the waiters that do not need their result any more. Otherwise they would pile up."""
        checks, self._checks, self._waiters = self._checks, {}, 0
        for key, (text, waiters) in checks.items():
            if needed := [waiter for waiter in waiters if waiter[1]()]:
                self._checks[key] = (text, needed)
                self._waiters += len(needed)
        self._max_waiters = max(2 * self._waiters, MIN_TO_PRUNE)

    def _start_next(self) -> None:
        """Let the thread do the oldest check that is still needed."""
        while self._checks and not self._busy and not self._closed:
            (expected, digest), (text, waiters) = next(iter(self._checks.items()))
            if not any(still_needed() for _, still_needed in waiters):
                self._remove(expected, digest)
                continue
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "mq9fast-auth")
            self._busy = True
            work = self._loop.run_in_executor(self._thread, _is_hash_of, expected.encode(), text)
            work.add_done_callback(partial(self._checked, expected, digest))

    def _checked(self, expected: str, digest: bytes, work: "asyncio.Future[bool]") -> None:
        self._busy = False
        if self._closed or work.cancelled():
            return
        right = work.result()
        if right:
            self._verified[expected] = digest
        self._deliver(self._remove(expected, digest)[::-1], right)
        self._start_next()

    def _deliver(self, waiters: list[Waiter], right: bool) -> None:
        """Deliver a result, spread over turns of the event loop: very many clients may wait for one check."""
        end = time.perf_counter() + DELIVERY_SECONDS
        while waiters and time.perf_counter() < end:
            waiters.pop()[0](right)
        if waiters and not self._closed:
            self._loop.call_soon(self._deliver, waiters, right)

    def _remove(self, expected: str, digest: bytes) -> list[Waiter]:
        """Remove a check; returns its waiters."""
        _, waiters = self._checks.pop((expected, digest), (b"", []))
        self._waiters -= len(waiters)
        return waiters

    def forget_all_but(self, hashes: set[str]) -> None:
        """Forget the verified passwords of all bcrypt hashes that are not in `hashes`."""
        self._verified = {known: digest for known, digest in self._verified.items() if known in hashes}

    def close(self) -> None:
        """Start no more checks, and deliver no more results."""
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def _is_hash_of(expected: bytes, text: bytes) -> bool:
    import bcrypt

    if len(text) > BCRYPT_BYTES or b"\x00" in text:
        return False
    return bcrypt.checkpw(text, expected)
