"""How fast a file of prompts is accepted, beside a loop of apply_async over the same file."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from models.queue.celery_app import celery_app
from producer.files.prompts import opened_prompts
from producer.files.record_to_prompt import ReadOptions
from tests.support.peak_memory import run_to_peak

_TEMPLATE = "Summarize: {title}\n{text}"
_COMMAND = (sys.executable, "-c", "from producer.cli import main; main()")
_NO_BROKER = "redis://127.0.0.1:1/0"
_TEXT = "The quick brown fox jumps over the lazy dog, and then it rests for a while. " * 10


def write_prompts(path: Path, count: int) -> None:
    """Write a CSV file of so many articles, each of about 760 characters."""
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["id", "title", "text"])
        rows.writerows([f"doc-{number}", f"Title {number}", _TEXT] for number in range(count))


def by_stepdown(path: Path, redis_url: str, folder: Path) -> float:
    """Run `stepdown submit` on the file as one batch; seconds, from its start to its end, all prompts committed.

    An earlier submission has made the ledger, and the compiled files of Python.
    """
    variables = {"REDIS_URL": redis_url, "DATABASE_URL": f"sqlite:///{folder}/enqueue.db"}
    write_prompts(folder / "first.csv", 10)
    _stepdown(variables, "submit", str(folder / "first.csv"), "--template", _TEMPLATE, "--id-column", "id")
    started = time.monotonic()
    batch = _stepdown(variables, "submit", str(path), "--template", _TEMPLATE, "--id-column", "id")
    seconds = time.monotonic() - started
    accepted = json.loads(_stepdown(variables, "status", batch, "--json"))["jobs"]
    with path.open(encoding="utf-8", newline="") as lines:
        expected = sum(1 for _ in csv.reader(lines)) - 1
    if accepted != expected:
        message = f"{accepted} jobs were accepted, not {expected}"
        raise RuntimeError(message)
    return seconds


def _stepdown(variables: Mapping[str, str], *arguments: str) -> str:
    environment = {**os.environ, **variables}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed product is compiled
    return subprocess.run(
        [*_COMMAND, *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def at_large(path: Path, folder: Path) -> tuple[float, float]:
    """Run `stepdown submit` on the file, without a broker; seconds, and the most memory it held in MB."""
    environment = {**os.environ, "REDIS_URL": _NO_BROKER, "DATABASE_URL": f"sqlite:///{folder}/large.db"}
    columns = ("--template", _TEMPLATE, "--id-column", "id")
    started = time.monotonic()
    ran = run_to_peak([*_COMMAND, "submit", str(path), *columns], env=environment)
    seconds = time.monotonic() - started
    if ran.code:
        raise RuntimeError(ran.err)
    return seconds, ran.peak_mb


def by_loop(path: Path, redis_url: str) -> float:
    """Read the file and call apply_async for each prompt, as a script with a for loop does; seconds."""
    app = celery_app(redis_url, rungs=1)

    @app.task(name="bench.prompt")
    def task(prompt: str) -> str:
        return prompt

    started = time.monotonic()
    with opened_prompts(str(path), ReadOptions(template=_TEMPLATE, id_column="id")) as file:
        for prompt in list(file.prompts()):
            task.apply_async(args=[prompt.text])
    seconds = time.monotonic() - started
    app.close()
    return seconds
