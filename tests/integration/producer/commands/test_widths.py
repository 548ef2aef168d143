"""Every command fits its terminal, and a pipe gets the same whole lines whatever the terminal."""

import io
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from producer.cli import app, main
from producer.output.terminal import REDRAW, width_of
from tests.support.ledgers import small_ledger
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import EXAMPLES, KEY, TEXTS

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_LONG_NAME = "a-batch-with-a-name-that-is-rather-long"
_PROCESSES = {("worker",), ("flower",), ("simulate",), ("serve",), ("demo",), ("mcp",)}  # run until somebody ends them
_ARTICLES = (str(TEXTS / "articles.csv"), "--template", "Summarize: {text}", "--id-column", "id", "--task", "summarize")
_COMMANDS = (
    ("submit", str(EXAMPLES / "message_batch.jsonl"), "--name", _LONG_NAME, "--task", "none"),
    ("submit", "no-such-file.csv"),
    ("ls",),
    ("status", "news"),
    ("status", "no-such-batch"),
    ("watch", "news", "--timeout-s", "0"),
    ("show", "news"),
    ("show", "odd", "--failed"),
    ("show", "--held"),
    ("job", "job-1"),
    ("results", "no-such-batch"),
    ("doctor",),
    ("estimate", *_ARTICLES),
    ("whatif", "--since", "2026-01-01", "--chain", "claude-sonnet-4-6,claude-haiku-4-5-20251001"),
    ("chain", "show"),
    ("chain", "suggest"),
    ("prices", "set", "mine", "--input", "1", "--output", "5", "--from", "2026-01-01"),
    ("prices", "list"),
    ("prices", "list", "--all"),
    ("prices", "check"),
    ("ledger", "report"),
    ("ledger", "report", "--by", "day,model"),
    ("ledger", "report", "--by", "batch,outcome"),
    ("ledger", "sql", "SELECT * FROM v_attempts"),
    ("ledger", "sql", "SELECT * FROM v_batches"),
    ("ledger", "sql", "SELECT name, jobs, succeeded, over_budget, cost_nano_usd, cap_nano_usd FROM v_batches"),
    ("ledger", "sql", "SELECT no_such_column FROM v_jobs"),
    ("ledger", "export", "-o", "attempts.csv"),
    ("ledger", "reprice", "--since", "2026-01-01", "--dry-run"),
    ("ledger", "reconcile", "--since", "2026-13-01"),
    ("ledger", "rebuild"),
    ("db", "upgrade"),
    ("db", "analyst"),
    ("retry", "news", "--failed"),
    ("release", "news"),
    ("drop", "news"),
    ("cancel", "odd"),
    ("purge", "--older-than", "90000d"),
)
_READING = [one for one in _COMMANDS if one[0] in {"ls", "show", "chain", "prices", "ledger"} and "set" not in one]


class _Stream(io.StringIO):
    """A terminal, or a pipe."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work beside a small ledger whose jobs have long names, and an API that nobody serves."""
    ledger = shutil.copy(sqlite_template, tmp_path / "ledger.db")
    with opened(f"sqlite:///{ledger}") as engine:
        small_ledger.book(engine)
    settings = {
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "DATABASE_URL": f"sqlite:///{ledger}",
        "TASK_STARTS": "summarize:auto",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _typed(command: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> list[str]:
    out = _Stream(is_terminal=is_terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, out)
    monkeypatch.setattr(sys, "argv", ["stepdown", *command])
    with pytest.raises(SystemExit):
        main()
    return [_STYLE.sub("", line) for line in out.getvalue().replace(REDRAW, "\n").splitlines()]


def _too_wide(lines: list[str], columns: int) -> list[str]:
    """Return the lines that a terminal breaks; one long word, such as a path, stays whole to be copied."""
    return [line for line in lines if width_of(line) > columns and " " in line.strip()]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", _COMMANDS, ids=" ".join)
@pytest.mark.usefixtures("folder")
def test_no_line_is_wider_than_its_terminal(
    command: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _too_wide(_typed(command, columns, monkeypatch, is_terminal=True), columns) == []


@pytest.mark.parametrize("command", _READING, ids=" ".join)
@pytest.mark.usefixtures("folder")
def test_a_pipe_gets_whole_lines_without_a_style_whatever_the_terminal(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow, wide = (_typed(command, columns, monkeypatch, is_terminal=False) for columns in (40, 200))
    assert narrow == wide
    assert not any("\x1b" in line or "\u2026" in line for line in narrow)


def _leaves(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name, one in getattr(command, "commands", {}).items():
        yield from _leaves(one, *path, name)
        yield from [] if hasattr(one, "commands") else [(*path, name)]


_LEAVES = tuple(_leaves(typer.main.get_command(app)))


def test_no_command_is_left_out() -> None:
    tried = {leaf for leaf in _LEAVES for command in _COMMANDS if command[: len(leaf)] == leaf}
    assert tried | _PROCESSES == set(_LEAVES)


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_its_terminal_and_cuts_no_summary(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {leaf[:1] for leaf in _LEAVES if len(leaf) > 1}
    for command in [(), *sorted(groups), *(leaf for leaf in _LEAVES if leaf not in {("worker",), ("simulate",)})]:
        lines = _typed((*command, "--help"), columns, monkeypatch, is_terminal=True)
        assert _too_wide(lines, columns) == []
        summaries = lines[lines.index("Commands:") :] if "Commands:" in lines else []
        assert not any(line.endswith("...") for line in summaries)
