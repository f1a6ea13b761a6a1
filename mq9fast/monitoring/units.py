"""Points in time and durations as text, in nats-server's notation. The pages call these functions."""

from datetime import datetime, timezone

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000


def timestamp(ms: int) -> str:
    """Unix milliseconds in RFC 3339."""
    text = datetime.fromtimestamp(ms / 1000, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def uptime(seconds: int) -> str:
    """Whole seconds as 1y2d3h4m5s. Leading units that are 0 are left out."""
    minutes, seconds = divmod(max(seconds, 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    years, days = divmod(days, 365)
    parts = [(years, "y"), (days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    return "".join(f"{count}{unit}" for count, unit in parts)


def duration(ns: int) -> str:
    """Nanoseconds as Go prints a time.Duration: 840µs, 1.5ms, 1m0.25s."""
    if ns < MICROSECOND:
        return f"{ns}ns" if ns else "0s"
    if ns < MILLISECOND:
        return f"{_decimal(ns, MICROSECOND)}µs"
    if ns < SECOND:
        return f"{_decimal(ns, MILLISECOND)}ms"
    minutes, rest = divmod(ns, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{whole}{_decimal(rest, SECOND)}s"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = str(unit + fraction)[1:].rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
