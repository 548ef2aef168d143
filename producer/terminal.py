"""Makes text fit to be shown in a terminal, whoever wrote it and whatever the terminal can show."""

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_USUAL_COLUMNS = 80
_PLAIN = str.maketrans({"\u2588": "#", "\u00b7": "."})
# Control characters, marks that turn the reading direction, other ends of lines, halves of surrogate pairs.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def terminal_text(text: str) -> str:
    r"""Write every character that could steer a terminal, forge a line or break an encoding as an escape.

    >>> print(terminal_text("\x1b[2Jgone?\nsucceeded"))
    \x1b[2Jgone?\nsucceeded
    """
    return _UNSHOWABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def columns_of(out: TextIO) -> int | None:
    """Return how many characters a line of a terminal has by now; None if `out` is no terminal."""
    if not out.isatty():
        return None
    with suppress(OSError, ValueError):
        if columns := os.get_terminal_size(out.fileno()).columns:
            return columns
    return _USUAL_COLUMNS  # of a terminal that does not know


def drawable(text: str, out: TextIO) -> str:
    """Draw bars of plain characters where `out` has no others: an escape is six times as wide."""
    try:
        text.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(_PLAIN)
    return text


def prepare_streams() -> None:
    """Have stdout and stderr take any text: what the terminal's encoding lacks as an escape, nothing where closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # after `>&-`; a file opened later must not become the stdout of our children
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def plain_stdout() -> Iterator[TextIO]:
    """Write to stdout as to a file: UTF-8 whatever the terminal's encoding is, and ends of lines left alone."""
    out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=True)
    try:
        yield out
    finally:
        out.detach()
