"""The purchase log: one line per request, on disk before the first byte of its answer leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import FileIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """The answer to one request, and its charge.

    `status` is None where no status line is sent (hang, reset_before); `usage` is what was generated,
    delivered or not, and None where nothing was; `rule` is None where no rule of the script decided.
    """

    at: str
    request_id: str
    message_id: str | None
    job: str | None
    job_number: int
    attempt: str | None
    requested_model: str | None
    served_model: str | None
    status: int | None
    answer: str
    rule: int | None
    stop_reason: str | None
    usage: dict[str, object] | None
    billed_nano_usd: int
    version: str | None
    betas: tuple[str, ...]


@dataclass(slots=True)
class PurchaseLog:
    """An append-only JSONL file, numbered on from what it already holds; in memory without a path.

    Each line is one unbuffered write, so it outlives the process that wrote it.
    """

    path: Path | None = None
    earlier: int = field(init=False, default=0)
    _written: int = field(init=False, default=0)
    _file: FileIO | None = field(init=False, default=None)
    _lines: list[bytes] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(self.path, "a")
            self.earlier = len(self.path.read_bytes().splitlines())

    def append(self, purchase: Purchase) -> None:
        """Write one line."""
        self._written += 1
        record = {"n": self.earlier + self._written}
        record |= {name: getattr(purchase, name) for name in Purchase.__slots__}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if self._file is None:
            self._lines.append(line)
        else:
            self._file.write(line)

    def read(self) -> list[dict[str, Any]]:
        """Read all lines, those of earlier runs too."""
        lines = self._lines if self.path is None else self.path.read_bytes().splitlines()
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
