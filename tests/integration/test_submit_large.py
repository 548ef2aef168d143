"""A file of 100,000 lines is accepted in bounded memory, from a name or through a pipe, and under one key only once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stranger import KEY, Stranger, stranger_in

_LINES = 100_000
_TEXT = "The quick brown fox jumps over the lazy dog, and then it rests for a while. " * 10
_MOST_MB = 200  # of which the interpreter and its libraries take some 90; the file alone has 80, its jobs 200
_OPTIONS = ("--key", "large/1", "--max-cost", "100")


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Work in a folder with a large file, and no worker."""
    me = stranger_in(tmp_path)
    me.configure(ANTHROPIC_API_KEY=KEY)
    with (me.folder / "large.jsonl").open("w", encoding="utf-8") as out:
        for number in range(_LINES):
            out.write(json.dumps({"id": f"doc-{number}", "prompt": f"Summarize {number}: {_TEXT}"}) + "\n")
    return me


def submitted(me: Stranger, *arguments: str, stdin: int | None = None) -> tuple[str, str, float]:
    """Run `stepdown submit` to its end; returns what it said, and the most memory it held, in MB."""
    with (me.folder / "said").open("w+") as said, (me.folder / "told").open("w+") as told:
        process = subprocess.Popen(
            me.command("submit", *arguments),
            cwd=me.folder,
            env=dict(me.environment),
            stdin=stdin,
            stdout=said,
            stderr=told,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        told.seek(0)
        out, err = said.read(), told.read()
    assert process.returncode == 0, err
    return out, err, used.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def test_100_000_lines_take_no_more_memory_than_a_few_and_are_bought_once(me: Stranger) -> None:
    batch, err, peak_mb = submitted(me, "large.jsonl", *_OPTIONS)
    assert "100,000 prompts were read and accepted in " in err
    assert peak_mb < _MOST_MB
    status = json.loads(me.types("status", batch.strip(), "--json").out)
    assert (status["jobs"], status["queued"]) == (_LINES, _LINES)
    cat = subprocess.Popen(["cat", me.folder / "large.jsonl"], stdout=subprocess.PIPE)
    with cat, cat.stdout:  # type: ignore[union-attr] # a pipe
        again, err, peak_mb = submitted(me, "-", *_OPTIONS, stdin=cat.stdout.fileno())  # type: ignore[union-attr]
    assert (again, err) == (batch, "the same prompts were submitted under 'large/1' before: nothing is bought again\n")
    assert peak_mb < _MOST_MB
    assert len(me.types("ls").out.splitlines()) == 1
    assert json.loads(me.types("status", batch.strip(), "--json").out)["jobs"] == _LINES
