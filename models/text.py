"""A provider's word, fit to keep in a column."""

_LENGTH = 200


def line(value: object) -> str | None:
    """Make a word printable and at most 200 characters long. Returns None for None and the empty word."""
    if value is None or value == "":
        return None
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))[:_LENGTH]


def is_storable(text: str) -> bool:
    """Return whether every ledger keeps a text: no NUL, and no half of a surrogate pair."""
    return "\0" not in text and text.encode(errors="ignore").decode() == text
