"""Text of others, fit to be shown."""


def printable(text: str, most: int | None = None) -> str:
    """The first `most` characters, with nothing in them that a terminal would obey."""
    text = text[:most]
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)
