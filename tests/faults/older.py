"""The version of the project before its newest migration, laid out in a folder: what a deploy meets still running."""

import io
import subprocess
import tarfile
from pathlib import Path

from tests.support.sites.worker_site import ROOT


def older_version(folder: Path) -> tuple[Path, str]:
    """Unpack it; returns the folder for PYTHONPATH, and the revision its schema has.

    It comes from the checkout's own history: the commit before the one that brought the newest migration. No version
    had a schema before the first migration: beside that one, this version stands for an older one.
    """
    *earlier, newest = sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    if not earlier:
        return ROOT, newest.name[:4]
    where = newest.relative_to(ROOT)
    how = ("-m", "--first-parent", "--no-renames")  # a merge or a new number may have brought it, too
    brought_by = _git("log", *how, "--diff-filter=A", "--format=%H", "-1", "--", str(where)).decode().strip()
    if not brought_by:
        message = f"{where} is in no commit: the version before it cannot be told"
        raise RuntimeError(message)
    with tarfile.open(fileobj=io.BytesIO(_git("archive", f"{brought_by}^"))) as tree:
        tree.extractall(folder, filter="data")
    revision = max(path.name[:4] for path in (folder / "migrations" / "versions").glob("[0-9]*.py"))
    return folder, revision


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout
