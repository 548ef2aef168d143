"""The purchase log: a line for each request, on disk before the first byte of the answer leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import FileIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """The answer to a request or to an item of a message batch, and the charge.

    `status` is None without a status line (hang, reset_before). `usage` counts the generated tokens, delivered or not,
    and is None without any. `rule` is None if no rule of the script decided.
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
    batch_id: str | None
    custom_id: str | None


@dataclass(slots=True)
class PurchaseLog:
    """An append-only JSONL file, numbered on from its earlier lines; in memory without a path.

    Each line is an unbuffered write, and outlives its process.
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
        """Write a line."""
        self._written += 1
        record = {"n": self.earlier + self._written}
        record |= {name: getattr(purchase, name) for name in Purchase.__slots__}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if self._file is None:
            self._lines.append(line)
        else:
            self._file.write(line)

    def read(self) -> list[dict[str, Any]]:
        """Read all lines, with those of earlier runs."""
        lines = self._lines if self.path is None else self.path.read_bytes().splitlines()
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
