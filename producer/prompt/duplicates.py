"""Finds repeated texts among any number of texts, at eight bytes each."""

from array import array
from collections import Counter

_BUCKETS = 256


class Repeats:
    """Remembers texts by their 64-bit hashes: a text is found repeated by mistake once in a long while.

    >>> texts = Repeats()
    >>> for text in ("a", "b", "a"):
    ...     texts.add(text)
    >>> texts.repeated() == {hash("a")}
    True
    """

    def __init__(self) -> None:
        self._buckets: list[array[int]] = []

    def add(self, text: str) -> None:
        """Add a text."""
        if not self._buckets:  # few batches have a text to remember
            self._buckets = [array("q") for _ in range(_BUCKETS)]
        found = hash(text)
        self._buckets[found % _BUCKETS].append(found)

    def repeated(self) -> frozenset[int]:
        """Return the hashes of repeated texts."""
        several = (Counter(bucket) for bucket in self._buckets if len(bucket) > 1)
        return frozenset(found for counts in several for found, count in counts.items() if count > 1)
