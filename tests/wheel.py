"""The wheel: how the tests build it; and `make wheel`, which runs its demo with the newest and the oldest it allows.

Each environment is new and empty: neither the lock nor this checkout helps the wheel to what it forgot to ask for.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

_ROOT = Path(__file__).parents[1]
_IMPORT_ALL = """
import importlib, pkgutil
extras = ("producer.mcp.", "producer.files.parquet")
starts = ("worker.celery", "migrations.env", "migrations.versions", "producer.simulator.__main__", "worker.__main__")
for package in ("models", "producer", "worker", "migrations"):
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, f"{package}."):
        if not module.name.startswith(extras + starts):
            importlib.import_module(module.name)
"""


def main() -> int:
    """Try the wheel with either set of versions; 1 where one fails."""
    with TemporaryDirectory() as named:
        folder = Path(named)
        wheel = built(folder)
        tried = {which: _works(wheel, folder, which) for which in ("highest", "lowest-direct")}
    sys.stdout.writelines(f"{'ok    ' if works else 'FAILED'}  {which}\n" for which, works in tried.items())
    return 0 if all(tried.values()) else 1


def built(folder: Path) -> Path:
    """Build the wheel, without the network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, cwd=_ROOT, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def dependencies() -> list[str]:
    """List what the wheel asks for, without extras."""
    with (_ROOT / "pyproject.toml").open("rb") as file:
        listed: list[str] = tomllib.load(file)["project"]["dependencies"]
    return listed


def _works(wheel: Path, folder: Path, which: str) -> bool:
    home = folder / which
    python = home / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", home], check=True)
    subprocess.run([*uv, "pip", "install", "-q", "--python", python, "--resolution", which, wheel], check=True)
    stepdown = str(python.with_name("stepdown"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    imports, demo = [str(python), "-c", _IMPORT_ALL], [stepdown, "demo", "--exit", "--jobs", "40"]
    ends = [
        subprocess.run(command, check=False, cwd=home, env=environment).returncode
        for command in (imports, [stepdown, "--version"], demo)
    ]
    return not any(ends)


if __name__ == "__main__":
    sys.exit(main())
