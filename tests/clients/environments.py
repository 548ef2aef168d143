"""An environment for each client, made once: what one needs must not change what another is tried with."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import copy

from tests.support.sites.worker_site import ROOT

_HOME = ROOT / ".stepdown" / "clients"
_MARK = "installed"  # a file; an environment without it was begun and never finished
_LONGEST_S = 1200


class NotInstalledError(Exception):
    """A client cannot be installed here."""


def python_of(name: str, *needs: str) -> Path:
    """Return the Python of a virtual environment with these packages. Raises NotInstalledError."""
    folder = _HOME / name
    python = folder / "bin" / "python"
    install: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *needs]
    _make(name, needs, [[sys.executable, "-m", "venv", "--clear", folder], install])
    return python


def node_of(name: str, script: Path, *needs: str) -> Path:
    """Lay a script beside these npm packages, where Node finds them; return it there. Raises NotInstalledError."""
    folder = _HOME / name
    folder.mkdir(parents=True, exist_ok=True)
    _make(name, needs, [["npm", "install", "--silent", "--no-save", "--prefix", folder, *needs]])
    return Path(copy(script, folder))


def _make(name: str, needs: tuple[str, ...], commands: Sequence[Sequence[str | Path]]) -> None:
    mark = _HOME / name / _MARK
    if mark.exists() and mark.read_text(encoding="utf-8") == "\n".join(needs):
        return
    for command in commands:
        try:
            made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_LONGEST_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalledError(f"{command[0]}: {error}") from error
        if made.returncode:
            last = (made.stderr or made.stdout).strip().splitlines()
            raise NotInstalledError(f"{command[0]} ended with {made.returncode}: {last[-1] if last else 'no word'}")
    mark.write_text("\n".join(needs), encoding="utf-8")
