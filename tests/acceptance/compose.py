"""Reads as much of YAML as docker-compose.yml needs: mappings, lists, anchors, merges. No package for one file."""

import json
import re
from typing import Any

_COMMENT = re.compile(r"(^|\s)#(?=\s|$).*$")
_PAIR = re.compile(r"""^(?P<name>[A-Za-z0-9_.<-]+):(?:\s+(?P<value>.*))?$""")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BARE_ITEM = re.compile(r"(?<=[\[,{:\s])(?![\s\[\]{},:\"])([^\[\]{},\"]+?)(?=\s*[\],}]|:\s)")


class Reader:
    """Reads one document; `anchors` holds what `&name` named."""

    def __init__(self, text: str) -> None:
        lines = (_COMMENT.sub("", line).rstrip() for line in text.splitlines())
        self.lines = [line for line in lines if line.strip()]
        self.anchors: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """Read all of it."""
        read: dict[str, Any] = self._block(0)
        assert not self.lines, f"not understood: {self.lines[0]!r}"
        return read

    def _block(self, indent: int) -> dict[str, Any]:
        block: dict[str, Any] = {}
        while self.lines and indent_of(self.lines[0]) == indent:
            pair = _PAIR.match(self.lines[0].strip())
            assert pair, f"not understood: {self.lines[0]!r}"
            self.lines.pop(0)
            name, value = pair["name"], self._value(pair["value"] or "", indent)
            if name == "<<":
                block = {**value, **block}
            else:
                block[name] = value
        return block

    def _value(self, text: str, indent: int) -> Any:
        if text.startswith("*"):
            return self.anchors[text[1:]]
        anchor, rest = [*text[1:].split(maxsplit=1), ""][:2] if text.startswith("&") else ("", text)
        deeper = bool(self.lines) and indent_of(self.lines[0]) > indent
        value = self._block(indent_of(self.lines[0])) if not rest and deeper else scalar(rest)
        if anchor:
            self.anchors[anchor] = value
        return value


def indent_of(line: str) -> int:
    """Count the spaces a line begins with."""
    return len(line) - len(line.lstrip(" "))


def scalar(text: str) -> Any:
    """Read what stands behind a colon: a quoted or a bare text, or a list or mapping in brackets."""
    if text.startswith(("[", "{")):
        return json.loads(quoted(text))
    return json.loads(text) if text.startswith('"') else text


def quoted(text: str) -> str:
    """Quote the bare words of a list or mapping in brackets, so that it is JSON."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f'"\x00{len(kept) - 1}"'

    bare = _BARE_ITEM.sub(lambda match: json.dumps(match[1].strip()), _QUOTED.sub(keep, text))
    return re.sub(r'"\x00(\d+)"', lambda match: kept[int(match[1])], bare)
