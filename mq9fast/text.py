"""Texts for people: text from clients made printable, and the name that a mistyped one may have meant.

The monitoring pages, INFO and the log print names and subjects of clients with it.
"""

from collections.abc import Iterable


def printable(text: str, max_length: int | None = None) -> str:
    """The first `max_length` characters, with U+FFFD for each that a terminal would not just print."""
    text = text[:max_length]
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence about an unknown `word`: ": did you mean X?", or "" if no name is near.

    Case, and dashes at the start of a flag, do not count.
    """
    import difflib  # only for errors: a start without one does not load it

    names = {_bare(name): name for name in known}
    found = difflib.get_close_matches(_bare(word), names, n=1)
    return f": did you mean {names[found[0]]}?" if found else ""


def _bare(name: str) -> str:
    return name.lstrip("-").lower()
