"""Makes text fit to be shown in a terminal, whoever wrote it and whatever the terminal can show."""

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

_USUAL_COLUMNS = 80
_PLAIN = str.maketrans({"\u2588": "#", "\u00b7": "."})
# Control characters, marks that turn the reading direction, other ends of lines, halves of surrogate pairs.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_OF_LINES = re.compile(f"\r?\n|\t|({_UNSHOWABLE.pattern})")  # the ends of lines stay, those of a CSV file too

REDRAW = "\r\x1b[2K"  # begins a line again: the one thing that steers a terminal, at the beginning of a write


class Styled(str):
    """A drawn line whose control characters are ours: the text in it was made fit by `terminal_text`."""

    __slots__ = ()


class _Terminal(io.TextIOWrapper):
    """A stream to a terminal, which no text steers, whoever wrote it."""

    def write(self, text: str) -> int:
        """Write a text with its control characters as escapes; REDRAW at its beginning and a Styled line are ours."""
        if isinstance(text, Styled):
            return super().write(text)
        begun = REDRAW if text.startswith(REDRAW) else ""
        super().write(begun + _OF_LINES.sub(_escaped, text[len(begun) :]))
        return len(text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[1] is None else terminal_text(found[1])


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
    """Have stdout and stderr take any text.

    A terminal shows control characters, and what its encoding lacks, as escapes. A closed stream takes nothing.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # after `>&-`; a file opened later must not become the stdout of our children
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open to the end
        elif isinstance(stream, io.TextIOWrapper) and stream.isatty():
            setattr(sys, name, _terminal(stream))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _terminal(stream: TextIO, *, newline: str | None = None) -> _Terminal:
    line_by_line: dict[str, bool] = {"line_buffering": True, "write_through": True}
    encoding = stream.encoding or "utf-8"
    return _Terminal(stream.buffer, encoding=encoding, errors="backslashreplace", newline=newline, **line_by_line)


@contextmanager
def plain_stdout() -> Iterator[TextIO]:
    """Write to stdout as `as_file` does."""
    with as_file(sys.stdout) as out:
        yield out


@contextmanager
def as_file(stream: TextIO) -> Iterator[TextIO]:
    """Write a file's text to a stream: UTF-8, every byte as it is; to a terminal, what it can show."""
    stream.flush()
    plain: dict[str, Any] = {"encoding": "utf-8", "newline": "", "write_through": True}
    out = _terminal(stream, newline="") if stream.isatty() else io.TextIOWrapper(stream.buffer, **plain)
    try:
        yield out
    finally:
        out.detach()


def _ended(line: str) -> str:
    return Styled(f"{line}\n") if isinstance(line, Styled) else f"{line}\n"


def print_line(line: str, *, at_once: bool = False) -> None:
    """Print what was asked for; `at_once`, also where a pipe would keep it until there is more."""
    sys.stdout.write(_ended(line))
    if at_once:
        sys.stdout.flush()


def hint(line: str) -> None:
    """Print what is good to know, beside it."""
    sys.stderr.write(_ended(line))


def next_step(line: str) -> None:
    """Print an explanation or the next command below a table, for a person: never if stdout is a file or a pipe."""
    if sys.stdout.isatty():
        hint(line)
