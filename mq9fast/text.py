"""Makes text from clients printable. The monitoring pages, INFO and the log use it for names and subjects."""


def printable(text: str, max_length: int | None = None) -> str:
    """The first `max_length` characters, with U+FFFD for each that a terminal would not just print."""
    text = text[:max_length]
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)
