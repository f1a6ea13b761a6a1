"""Comparing passwords and tokens with what is expected: plain text, or a bcrypt hash."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mq9fast.config.users import BCRYPT_HASH

# bcrypt looks at so many bytes. A longer password matches no hash.
BCRYPT_BYTES = 72


# A function for the answer of a check, and one that says whether the answer still matters.
Asker = tuple[Callable[[bool], None], Callable[[], bool]]
MIN_TO_PRUNE = 64
# How long askers are told what came of a check in one turn of the event loop.
CPU_REPORT_SECONDS = 0.002


class Passwords:
    """Compares in constant time. A bcrypt hash takes a tenth of a second and is checked in a thread.

    That a password was right is remembered as a digest under a key of this process, and what several ask for
    is checked once: so a fleet that reconnects, to a broker that was just started too, pays for it once.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._key = secrets.token_bytes(32)
        self._proved: dict[str, bytes] = {}
        self._thread: ThreadPoolExecutor | None = None
        # By hash and password; the first is the one that is checked, or the next to be.
        self._asked: dict[tuple[str, bytes], tuple[bytes, list[Asker]]] = {}
        self._askers = 0
        self._max_askers = MIN_TO_PRUNE
        self._busy = False
        self._closed = False

    def check(
        self, expected: str, given: str, then: Callable[[bool], None], wanted: Callable[[], bool]
    ) -> None:
        """Call `then` with whether `given` is right: at once, or, for a hash, in a later turn of the loop, if
        that is still `wanted` when its turn comes."""
        text = given.encode("utf-8", "surrogatepass")
        if not BCRYPT_HASH.fullmatch(expected):
            then(hmac.compare_digest(expected.encode(), text))
            return
        digest = hmac.digest(self._key, text, hashlib.sha256)
        if hmac.compare_digest(self._proved.get(expected, b""), digest):
            then(True)
            return
        _, askers = self._asked.setdefault((expected, digest), (text, []))
        askers.append((then, wanted))
        self._askers += 1
        if self._askers > self._max_askers:
            self._prune()
        self._begin()

    def _prune(self) -> None:
        """Forget checks whose clients left: they must not pile up."""
        asked, self._asked, self._askers = self._asked, {}, 0
        for key, (text, askers) in asked.items():
            if staying := [asker for asker in askers if asker[1]()]:
                self._asked[key] = (text, staying)
                self._askers += len(staying)
        self._max_askers = max(2 * self._askers, MIN_TO_PRUNE)

    def _begin(self) -> None:
        """Have the thread check what was asked for first and is still wanted."""
        while self._asked and not self._busy and not self._closed:
            (expected, digest), (text, askers) = next(iter(self._asked.items()))
            if not any(wanted() for _, wanted in askers):
                self._take(expected, digest)
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
            self._proved[expected] = digest
        self._tell(self._take(expected, digest)[::-1], right)
        self._begin()

    def _tell(self, askers: list[Asker], right: bool) -> None:
        """Tell those who asked, some in each turn of the event loop: a whole fleet may wait for one check."""
        end = time.perf_counter() + CPU_REPORT_SECONDS
        while askers and time.perf_counter() < end:
            askers.pop()[0](right)
        if askers and not self._closed:
            self._loop.call_soon(self._tell, askers, right)

    def _take(self, expected: str, digest: bytes) -> list[Asker]:
        """Remove a check that is done; returns its askers."""
        _, askers = self._asked.pop((expected, digest), (b"", []))
        self._askers -= len(askers)
        return askers

    def forget(self, but: set[str]) -> None:
        """Forget what was proved of hashes that nobody has any longer."""
        self._proved = {known: digest for known, digest in self._proved.items() if known in but}

    def close(self) -> None:
        """Check nothing more, and tell nobody of what is being checked."""
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def _is_hash_of(expected: bytes, text: bytes) -> bool:
    import bcrypt

    if len(text) > BCRYPT_BYTES or b"\x00" in text:
        return False
    return bcrypt.checkpw(text, expected)
