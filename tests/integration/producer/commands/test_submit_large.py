"""A file of 100,000 lines is accepted in bounded memory, from a name or through a pipe, and under one key only once."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.peak_memory import Ran, run_to_peak
from tests.support.sites.command_line import KEY, Stranger, stranger_in

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


def submitted(me: Stranger, *arguments: str, stdin: Any = subprocess.DEVNULL) -> Ran:
    """Run `stepdown submit` to its end."""
    command = me.command("submit", *arguments)
    ran = run_to_peak(command, cwd=me.folder, env=dict(me.environment), stdin=stdin)
    assert ran.code == 0, ran.err
    return ran


def test_100_000_lines_take_no_more_memory_than_a_few_and_are_bought_once(me: Stranger) -> None:
    first = submitted(me, "large.jsonl", *_OPTIONS)
    assert "100,000 prompts were read and accepted in " in first.err
    assert first.peak_mb < _MOST_MB
    status = json.loads(me.types("status", first.out.strip(), "--json").out)
    assert (status["jobs"], status["queued"]) == (_LINES, _LINES)
    with subprocess.Popen(["cat", me.folder / "large.jsonl"], stdout=subprocess.PIPE) as piped:
        again = submitted(me, "-", *_OPTIONS, stdin=piped.stdout)
    printed = "the same prompts were submitted under 'large/1' before: nothing is bought again\n"
    assert (again.out, again.err) == (first.out, printed)
    assert again.peak_mb < _MOST_MB
    assert len(me.types("ls", "--jsonl").out.splitlines()) == 1
    assert json.loads(me.types("status", first.out.strip(), "--json").out)["jobs"] == _LINES
