"""Frames put together beforehand, so that one call sends many."""

from collections.abc import Sequence


class Batch(bytes):
    """Frames in one piece, with their number."""

    count: int


def batches(frames: Sequence[bytes], times: int, most: int) -> list[Batch]:
    """All frames in order, so many times over, in batches of at most so many, or of one."""
    laps = min(times, max(1, most // len(frames)))
    if laps == 1:
        cuts = range(0, len(frames), max(1, most))
        return [_batch(frames[cut : cut + most]) for cut in cuts] * times
    whole, rest = divmod(times, laps)
    return [_batch(list(frames) * laps)] * whole + [_batch(list(frames) * rest)] * (rest > 0)


def _batch(frames: Sequence[bytes]) -> Batch:
    batch = Batch(b"".join(frames))
    batch.count = len(frames)
    return batch
