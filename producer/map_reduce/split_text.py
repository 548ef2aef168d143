"""Splits a text as a reader would: at headings, else paragraphs, else sentences, else lines, else words."""

import re

from models.money.token_estimate import BYTES_A_TOKEN

_NAMED = r"(?:chapter|part|section|book|volume|act|appendix)[ \t]+(?:\d+|[ivxlcdm]+)\b[^\n]*$"
_UNDERLINED = r"[^\n]{1,100}\n(?:={3,}|-{3,})[ \t]*$"
# A part may begin at the end of a match; with a heading, at its beginning.
_HEADING = re.compile(rf"^(?=#{{1,6}}[ \t]+\S|{_UNDERLINED})|(?<=\n\n)(?={_NAMED})", re.MULTILINE | re.IGNORECASE)
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")
# ruff: noqa: RUF001 - marks of other scripts end sentences, too
_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？][”’」』）]*\s*")
_LINE = re.compile(r"\n")
_WORD = re.compile(r"\s+")
_BOUNDARIES = (_HEADING, _PARAGRAPH, _SENTENCE, _LINE, _WORD)


def split(text: str, *, tokens: int) -> list[tuple[int, int]]:
    """Cut a text into parts of at most so many tokens, by token_estimate.most_tokens; each as (begin, end).

    The parts are in order, and hold every character. They are about equally long, unless a better boundary is near.

    >>> text = "One two. Three four. Five six."
    >>> [text[begin:end] for begin, end in split(text, tokens=5)]
    ['One two. ', 'Three four. ', 'Five six.']
    """
    most, left = tokens * BYTES_A_TOKEN, len(_bytes(text))
    spans, begin = list[tuple[int, int]](), 0
    while begin < len(text):
        end = _end(text, begin, left, most)
        left -= len(_bytes(text[begin:end]))
        spans.append((begin, end))
        begin = end
    return spans


def _end(text: str, begin: int, left: int, most: int) -> int:
    """Return the end of the part that begins there: near an equal share of the bytes that are left."""
    if left <= most:
        return len(text)
    aim = _reach(text, begin, -(-left // -(-left // most)))
    low, high = begin + max(1, (aim - begin) // 2), min(_reach(text, begin, most), aim + (aim - begin) // 4)
    for boundary in _BOUNDARIES:
        found = [match.end() for match in boundary.finditer(text, low, high) if low <= match.end() <= high]
        if found:
            return min(found, key=lambda place: abs(place - aim))
    return max(aim, begin + 1)


def _reach(text: str, begin: int, most: int) -> int:
    """Return the place after so many bytes of UTF-8, in whole characters."""
    ahead = text[begin : begin + most]
    if ahead.isascii():
        return begin + len(ahead)
    written = _bytes(ahead)
    is_cut = len(written) > most and _is_inside(written[most])
    return begin + sum(not _is_inside(byte) for byte in written[:most]) - is_cut


def _is_inside(byte: int) -> bool:
    """Return whether a byte continues a character that began before."""
    return byte & 0xC0 == 0x80  # noqa: PLR2004 - the marks of UTF-8


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
