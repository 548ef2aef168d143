"""Writes a file whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.errors import InputError
from models.ids import new_id
from producer.output.terminal import terminal_text


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a file beside `path` that takes its place when all of it is written; a link keeps pointing where it did.

    Owner and permissions stay as before. A target that is no file, such as a pipe, is opened itself.
    Raises InputError where it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():  # asked of a link itself: what /dev/stdout leads to may have no name
            yield path
            return
        target = _target(path)
        with _part(target) as part:
            yield part
            part.replace(target)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", source=terminal_text(str(path))) from None


def _target(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only")
    return target


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    part = target.with_name(f".{new_id()}.part")  # containers that share a folder share the ids of processes, too
    try:
        part.touch(exist_ok=False)
        if target.exists():
            was = target.stat()
            with suppress(PermissionError):  # who is not root gives nothing away
                os.chown(part, was.st_uid, was.st_gid)
            shutil.copymode(target, part)
        yield part
    finally:
        part.unlink(missing_ok=True)
