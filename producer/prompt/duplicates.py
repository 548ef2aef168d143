"""Tells what was there more than once, of any number of texts, at eight bytes each."""

from array import array
from collections.abc import Iterator

_BUCKETS = 256


class Repeats:
    """Remembers texts by their 64-bit hashes: what is told may, once in a long while, be told by mistake.

    >>> texts = Repeats()
    >>> for text in ("a", "b", "a"):
    ...     texts.add(text)
    >>> texts.repeated() == {hash("a")}
    True
    """

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(_BUCKETS)]

    def add(self, text: str) -> None:
        """Take one more."""
        found = hash(text)
        self._buckets[found % _BUCKETS].append(found)

    def repeated(self) -> frozenset[int]:
        """List the hashes of those there more than once."""
        return frozenset(self._twice())

    def _twice(self) -> Iterator[int]:
        for bucket in self._buckets:
            once = set[int]()
            for found in bucket:
                if found in once:
                    yield found
                once.add(found)
