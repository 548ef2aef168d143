"""A prompt's template: text with {column}, without any other syntax."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class TemplateError(ValueError):
    """The template's braces do not pair up, or no column is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Pieces in order, each literal text or (True) the name of a column; and the columns that the template needs."""

    pieces: tuple[tuple[str, bool], ...]
    columns: tuple[str, ...]

    def fill(self, row: Mapping[str, str]) -> str:
        """Put the row's values in place. Raises KeyError if the row lacks a column."""
        return "".join([row[piece] if is_column else piece for piece, is_column in self.pieces])

    def length(self, row: Mapping[str, str]) -> int:
        """Return the length of the filled text in characters, without filling."""
        return sum([len(row[piece]) if is_column else len(piece) for piece, is_column in self.pieces])


def parse_template(text: str) -> Template:
    """Read {column} and the escapes {{ and }}; the text between braces is a column's whole name.

    Attributes, indexes, conversions and format specs mean nothing here, so a template reaches only the row.

    >>> parse_template("{{{title}}}: {a.b}").fill({"title": "On", "a.b": "off"})
    '{On}: off'
    """
    pieces = tuple(_piece(match) for match in _PIECE.finditer(text))
    columns = tuple(dict.fromkeys(piece for piece, is_column in pieces if is_column))
    if not columns:
        raise TemplateError("names no column, so every prompt would be the same; write {column}")
    return Template(pieces=pieces, columns=columns)


def _piece(match: re.Match[str]) -> tuple[str, bool]:
    if match[1] is not None:
        return match[1], True
    if match[0] in {"{", "}"}:
        raise TemplateError(f"{match[0]!r} at character {match.start() + 1} has no partner; write it twice")
    return {"{{": "{", "}}": "}"}.get(match[0], match[0]), False
