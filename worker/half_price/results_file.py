"""The results of a message batch: a file on this disk, with exactly our items, each once.

The file has no name. A worker that ends or loses its lease leaves no answers. Two workers never share a file.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from models.job.message_batch import MessageBatch
from worker.half_price.lane import Lane
from worker.provider.reply import Broken

_OK, _NOT_FOUND = 200, 404


class ResultsError(Exception):
    """Results that cannot be used. `is_early`: they are not there yet. `is_foreign`: no item of theirs is ours.

    A limit of the provider demands a wait of `wait_s` seconds.
    """

    def __init__(self, message: str, *, is_early: bool = False, is_foreign: bool = False, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.is_early = is_early
        self.is_foreign = is_foreign
        self.wait_s = wait_s


@contextmanager
def unnamed_file(folder: Path) -> Iterator[IO[bytes]]:
    """Open a file for the results. The file ends with the block, or with this process. Raises ResultsError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryFile(dir=folder) as file:
            yield file
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> ResultsError:
    return ResultsError(f"{folder}: {error.strerror or error}")


async def download(batch: MessageBatch, lane: Lane, file: IO[bytes], ours: Collection[str]) -> None:
    """Download the results whole, and check them. Raises ResultsError. A download can be repeated at no cost."""

    def keep(part: bytes) -> None:
        try:
            file.write(part)
        except OSError as error:  # no fault of the network
            raise _unwritable(lane.folder, error) from error

    reply = await lane.calls.results(str(batch.provider_id), keep)
    if isinstance(reply, Broken):
        raise ResultsError(f"{reply.how}: {reply.detail}")
    if reply.status != _OK:
        lane.report_pause(reply)
        wait_s = lane.wait_s(reply, in_a_row=batch.looks)
        raise ResultsError(f"status {reply.status}", is_early=reply.status == _NOT_FOUND, wait_s=wait_s)
    await lane.worker.in_thread(_check, file, set(ours))


class _LineReadError(Exception):
    """The rest of a download is not needed."""


async def first_id(lane: Lane, provider_id: str) -> str | None:
    """Read the custom_id of the first result of a message batch. Returns None if the results cannot be read."""
    read = bytearray()

    def until_line_ends(part: bytes) -> None:
        read.extend(part)
        if b"\n" in part:
            raise _LineReadError

    with suppress(_LineReadError):
        await lane.calls.results(provider_id, until_line_ends)
    try:
        found = json.loads(read.split(b"\n")[0])["custom_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def results_in(file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the custom_id and the result of each line. Raises ResultsError that names the line."""
    file.seek(0)
    for number, line in enumerate(file, start=1):  # only a line feed ends a line: an answer may hold U+2028
        try:
            held = json.loads(line)
        except ValueError:
            held = None
        match held:
            case {"custom_id": str(known), "result": {"type": str()} as result}:
                yield known, result
            case _:
                raise ResultsError(f"line {number} of the results is no result")


def _check(file: IO[bytes], ours: set[str]) -> None:
    seen: set[str] = set()
    strangers = 0
    for known, _ in results_in(file):
        if known in seen:
            raise ResultsError(f"the results have {known} twice")
        seen.add(known)
        strangers += known not in ours
    if strangers:
        is_foreign = strangers == len(seen)
        raise ResultsError(f"{strangers} of {len(seen)} results are of no item of ours", is_foreign=is_foreign)
    if missing := len(ours - seen):
        raise ResultsError(f"{missing} of {len(ours)} results are missing")
