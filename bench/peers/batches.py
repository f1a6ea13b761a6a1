"""Frames joined before the measurement, so that one call sends many."""

from collections.abc import Sequence


class Batch(bytes):
    """Joined frames and their number."""

    count: int


def batches(frames: Sequence[bytes], times: int, max_frames: int) -> list[Batch]:
    """Return all frames in order, `times` over, in batches of at most `max_frames` (at least one)."""
    laps = min(times, max(1, max_frames // len(frames)))
    if laps == 1:
        cuts = range(0, len(frames), max(1, max_frames))
        return [_batch(frames[cut : cut + max_frames]) for cut in cuts] * times
    whole, rest = divmod(times, laps)
    return [_batch(list(frames) * laps)] * whole + [_batch(list(frames) * rest)] * (rest > 0)


def _batch(frames: Sequence[bytes]) -> Batch:
    batch = Batch(b"".join(frames))
    batch.count = len(frames)
    return batch
