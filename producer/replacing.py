"""Writes a file whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import InputError
from producer.terminal import terminal_text


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a file beside `path` that takes its place when all of it is written; a link keeps pointing where it did.

    What is no file, such as a pipe, is lent itself. Raises InputError where it cannot be written.
    """
    target = path.resolve()
    is_special = target.exists() and not target.is_file()
    part = target if is_special else target.with_name(f".{os.getpid()}.part")
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "it is read-only")
        yield part
        if not is_special:
            part.replace(target)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", source=terminal_text(str(path))) from None
    finally:
        if not is_special:
            part.unlink(missing_ok=True)
