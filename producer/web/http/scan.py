"""Parses JSON in bounded memory: cuts a list into its items by bytes, and bounds number, size and depth."""

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from producer.files.records import refuse_constant
from producer.web.http.errors import Refusal

_MB = 1024 * 1024
LARGEST_ITEM = 33 * _MB  # bytes of a request: the most that the API takes, and the frame
MOST_VALUES = 500_000  # of a request: 60 MB as Python objects
MOST_VALUES_IN_ALL = 20_000_000  # of a body: half a minute of scanning
DEEPEST = 200
_LARGEST_FRAME = _MB  # bytes beside a list that is cut
_AT_ONCE = 64 * 1024  # bytes of a match; other threads wait for the end of a match
_KEY_ROOM = 256
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[{}\[\],]', re.DOTALL)
_REST_OF_TEXT = re.compile(rb'(?:[^"\\]++|\\.)*+("?)', re.DOTALL)
_BLANK = b" \t\r\n"


@dataclass(slots=True, kw_only=True)
class Scanned:
    """A JSON text with counted brackets: `frame` is the whole text without the items of the listed list.

    Item N, from 0, is the bytes from `starts[N]` to `ends[N]`.
    """

    file: IO[bytes]
    frame: bytearray = field(default_factory=bytearray)
    starts: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))

    def items(self) -> Iterator[bytes]:
        """Yield the items in order. No item stays in memory."""
        for start, end in zip(self.starts, self.ends, strict=True):
            self.file.seek(start)
            yield self.file.read(end - start)


class Scan:
    """A pass through a file. `listed` names the list that is cut. With None the whole text is one item.

    Raises Refusal: 413 for a text that is too large, 400 for too many items, values or levels.
    """

    def __init__(
        self, file: IO[bytes], *, listed: str | None = None, most_items: int = 0, at_once: int = _AT_ONCE
    ) -> None:
        self._file = file
        self._listed = listed
        self._most_items = most_items
        self._at_once = at_once
        self._found = Scanned(file=file)
        self._depth = 0
        self._values = self._all_values = 0
        self._begin: int | None = None  # of the item in hand, while the list is open

    def run(self) -> Scanned:
        """Read to the end. The parser finds brackets that do not match."""
        self._file.seek(0)
        offset, in_text, left = 0, False, b""
        while part := self._file.read(self._at_once):
            chunk = left + part
            in_text, left = self._chunk(chunk, offset, in_text=in_text)
            offset += len(chunk) - len(left)
        self._keep(left)
        return self._found

    def _chunk(self, chunk: bytes, offset: int, *, in_text: bool) -> tuple[bool, bytes]:
        """Scan a chunk. Return whether the chunk ends within a text, and the backslash at the end."""
        place = kept = 0
        if in_text and (rest := _REST_OF_TEXT.match(chunk)):
            place, in_text = rest.end(), not rest[1]
        if not in_text:
            for token in _TOKEN.finditer(chunk, place):
                sign = chunk[token.start()]
                if sign == ord('"'):
                    in_text, place = not token[1], token.end()
                elif (until := self._sign(sign, chunk, kept, offset, token.start())) is not None:
                    kept = until
        left = chunk[place:] if in_text and place < len(chunk) else b""
        if self._begin is None:
            self._keep(chunk[kept : len(chunk) - len(left)])
        elif offset + len(chunk) - self._begin > LARGEST_ITEM:
            raise self._too_large()
        return in_text, left

    def _sign(self, sign: int, chunk: bytes, kept: int, offset: int, at: int) -> int | None:
        """Take a sign of structure. Return the end of the finished part of the chunk, or None for no change."""
        if sign in b"{[":
            self._count()
            self._depth += 1
            if self._depth > DEEPEST:
                raise Refusal(400, f"{self._where()}: nests more than {DEEPEST} levels deep")
            if sign == ord("[") and self._depth == 2 and self._is_key(chunk[kept:at]):  # noqa: PLR2004 - object, list
                self._keep(chunk[kept : at + 1])
                self._begin, self._values = offset + at + 1, 0
                return at + 1
            return None
        if sign == ord(","):
            self._count()
        else:
            self._depth -= 1
        if self._begin is None or self._depth > (2 if sign == ord(",") else 1):
            return None
        self._end_item(offset + at, is_last=sign != ord(","))
        return at if self._begin is None else None

    def _end_item(self, end: int, *, is_last: bool) -> None:
        begin = self._begin or 0
        if not (is_last and not self._found.ends and self._is_blank(begin, end)):
            if len(self._found.ends) == self._most_items:
                raise Refusal(400, f"{self._listed}: there are more than the {self._most_items} a batch may have")
            if end - begin > LARGEST_ITEM:
                raise self._too_large()
            self._found.starts.append(begin)
            self._found.ends.append(end)
        self._begin, self._values = None if is_last else end + 1, 0

    def _is_blank(self, begin: int, end: int) -> bool:
        """Return True if the list is empty."""
        here = self._file.tell()
        self._file.seek(begin)
        is_blank = not self._file.read(end - begin).strip(_BLANK)
        self._file.seek(here)
        return is_blank

    def _is_key(self, before: bytes) -> bool:
        """Return True if the list that begins here is to be cut. A second list of the name is not."""
        if self._listed is None or self._found.ends:
            return False
        head = (bytes(self._found.frame[-_KEY_ROOM:]) + before[-_KEY_ROOM:]).rstrip(_BLANK)
        name = head[:-1].rstrip(_BLANK)
        key = f'"{self._listed}"'.encode()
        return head.endswith(b":") and name.endswith(key) and not name.endswith(b"\\" + key)

    def _keep(self, part: bytes) -> None:
        self._found.frame += part
        if self._listed is not None and len(self._found.frame) > _LARGEST_FRAME:
            raise Refusal(413, f"the body has more than {_LARGEST_FRAME // _MB} MB beside its {self._listed}")

    def _count(self) -> None:
        self._values += 1
        self._all_values += 1
        if self._values > MOST_VALUES or self._all_values > MOST_VALUES_IN_ALL:
            most = MOST_VALUES if self._values > MOST_VALUES else MOST_VALUES_IN_ALL
            where = self._where() if self._values > MOST_VALUES else "the body"
            raise Refusal(400, f"{where}: holds more than {most:,} values; send less at once")

    def _too_large(self) -> Refusal:
        return Refusal(413, f"{self._where()}: is larger than {LARGEST_ITEM // _MB - 1} MB")

    def _where(self) -> str:
        return "the body" if self._begin is None else f"{self._listed}[{len(self._found.ends)}]"


def parsed(raw: bytes | bytearray, where: str) -> Any:
    """Parse JSON of a bounded size. Raises Refusal for text that is no JSON, and for a field named twice."""
    try:
        return _decode(raw.decode())
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 (byte {error.start + 1})"
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at line {error.lineno}, character {error.colno}"
    except _TwiceError as error:
        raise Refusal(400, f"{where}: names the field {error} twice; name each once") from None
    except (ValueError, RecursionError) as error:
        problem = f"it holds what nobody writes ({type(error).__name__})"
    raise Refusal(400, f"{where} is not JSON: {problem}")


class _TwiceError(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise _TwiceError(ascii(twice[:_KEY_ROOM]))
    return fields


_decode = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=_once).decode
