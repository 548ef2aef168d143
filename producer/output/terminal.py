"""Makes text fit to be shown in a terminal, whoever wrote it and whatever the terminal can show."""

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

_USUAL_COLUMNS = 80
_INDENT = 4  # of the lines that follow, unless a head stands before the text
_HEAD = re.compile(r" *(?:\S+(?: \S+)* {2,})?")  # a time or a name that two spaces set apart
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
    """Return how many characters a line of a terminal has by now; None if `out` is no terminal. COLUMNS wins."""
    if not out.isatty():
        return None
    if (asked := os.environ.get("COLUMNS", "")).isdecimal() and int(asked):  # noqa: TID251 - as Click's help does
        return int(asked)
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


def wrapped(line: str, columns: int | None) -> str:
    """Break a line of prose at its spaces to fit `columns`; a longer word, such as a path, stays whole to be copied.

    The lines that follow stand below the text of the first.

    >>> print(wrapped("  12:27:54  stepped down to sonnet-4-6", 27))
      12:27:54  stepped down to
                sonnet-4-6
    """
    if columns is None or width_of(line) <= columns:
        return line
    head = _HEAD.match(line)
    hang = max(_INDENT, head.end() if head else 0)
    lines = [""]
    for word in re.findall(r"\s*\S+", line):
        if lines == [""] or width_of(lines[-1] + word) <= columns:
            lines[-1] += word
        else:
            lines.append(" " * (hang if hang <= columns // 2 else _INDENT) + word.lstrip())
    return "\n".join(lines)


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide character."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - only a text with other characters waits for rich

    return cell_len(text)


def _write(out: TextIO, text: str) -> None:
    if isinstance(text, Styled):
        out.write(Styled(f"{text}\n"))
    else:
        columns = columns_of(out)
        out.writelines(f"{wrapped(line, columns)}\n" for line in text.split("\n"))


def print_line(line: str, *, at_once: bool = False) -> None:
    """Print a line for people, wrapped at a terminal; `at_once`, also if a pipe would keep the line for later."""
    _write(sys.stdout, line)
    if at_once:
        sys.stdout.flush()


def print_whole(line: str) -> None:
    """Print a line for a program: as it is, however wide."""
    sys.stdout.write(f"{line}\n")


def print_lines(lines: Iterable[str], *, whole: bool = False) -> int:
    """Print lines for people, or for a program if `whole`. Returns how many."""
    count = 0
    for line in lines:
        count += 1
        print_whole(line) if whole else print_line(line)
    return count


def hint(line: str) -> None:
    """Print a note for people to stderr, wrapped at a terminal."""
    _write(sys.stderr, line)


def next_step(line: str) -> None:
    """Print an explanation or the next command below a table, for a person: never if stdout is a file or a pipe."""
    if sys.stdout.isatty():
        hint(line)
