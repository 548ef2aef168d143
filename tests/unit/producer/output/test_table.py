"""A table fits its terminal, loses no figure and no id there, and is plain text everywhere else."""

import io
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from producer.output.table import table
from producer.output.terminal import as_file, terminal_text

_ID = "01a22b59-75ce-781d-b870-81a59ef0341f"
_HEADER = ("job", "name", "state", "tokens in", "error")
_LONG = "the API refuses this prompt for a reason that it names at some length, and more than once"
_ROWS = [[_ID, "a name of several words", "failed", "1,234,567", _LONG], [_ID, "b", "succeeded", "1", ""]]
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def drawn(
    columns: int, rows: Sequence[Sequence[str]], monkeypatch: pytest.MonkeyPatch, drops: Sequence[int] = ()
) -> list[str]:
    """Draw the rows at a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return [*table(_HEADER, rows, right={3}, folds={1}, drops=drops, is_last_below=True, out=Terminal())]


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_a_table_fits_its_terminal_and_keeps_ids_figures_and_each_word(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [_STYLE.sub("", line) for line in drawn(columns, _ROWS, monkeypatch)]
    assert max(map(len, lines)) <= columns
    assert [line.count(_ID) for line in lines if _ID in line] == [1, 1]
    shown = " ".join(" ".join(lines).split())
    assert "1,234,567" in shown
    assert _LONG in shown
    assert {"a", "name", "of", "several", "words"} <= set(shown.split())


def test_headings_are_bold_and_states_have_colours_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    head, *rest = drawn(200, _ROWS, monkeypatch)
    assert head.startswith("\x1b[1mjob")
    assert "\x1b[31mfailed\x1b[0m" in rest[0]
    assert "\x1b[32msucceeded\x1b[0m" in rest[1]


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_plain_terminal_gets_a_table_that_fits_without_a_style(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    styled = [_STYLE.sub("", line).rstrip() for line in drawn(80, _ROWS, monkeypatch)]
    monkeypatch.setenv(variable, value)
    assert [*table(_HEADER, _ROWS, right={3}, folds={1}, is_last_below=True, out=Terminal())] == styled


def test_a_pipe_gets_every_cell_whole_on_the_line_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert [*table(_HEADER, _ROWS, right={3}, folds={1}, drops=(3,), is_last_below=True, out=io.StringIO())] == [
        f"{'job':<36}  {'name':<23}  state      tokens in  error",
        f"{_ID}  a name of several words  failed     1,234,567  {_LONG}",
        f"{_ID}  {'b':<23}  succeeded          1",
    ]


def test_a_narrow_terminal_loses_the_columns_that_may_go_and_no_more_than_it_has_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [[_ID, "news", "failed", "1,234,567", "no"]]
    heads = {columns: _STYLE.sub("", drawn(columns, rows, monkeypatch, (3, 1))[0]).split() for columns in (80, 62, 52)}
    assert heads == {
        80: ["job", "name", "state", "tokens", "in", "error"],
        62: ["job", "name", "state", "error"],
        52: ["job", "state", "error"],
    }


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_a_table_that_fits_in_no_way_has_a_line_for_each_cell(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    header, row = [f"column_{n}" for n in range(20)], [str(10**n) for n in range(20)]
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    lines = [*table(header, [row, row], right=range(20), out=Terminal())]
    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines if line.startswith(("row", "column"))] == ["row", *header] * 2
    assert "".join("".join(lines).split()).count("1000000000") >= 2


def test_a_wide_character_takes_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[_ID, "日本", "failed", "1", ""], [_ID, "b", "failed", "1", ""]]
    for lines in ([*table(_HEADER, rows, out=io.StringIO())], drawn(200, rows, monkeypatch)):
        plain = [_STYLE.sub("", line) for line in lines]
        assert len({cell_len(line[: line.index("failed")]) for line in plain[1:]}) == 1


def test_a_cell_of_any_length_is_cut_with_an_ellipsis_at_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[_ID, "x" * 1_000_000, "failed", "1", ""]]
    shown = drawn(80, rows, monkeypatch)
    assert len(shown) <= 10
    assert "…" in "".join(shown)
    assert len(max(table(_HEADER, rows, out=io.StringIO()), key=len)) > 1_000_000


@given(st.lists(st.lists(st.text(st.characters()), min_size=2, max_size=2), max_size=3))
def test_no_cell_steers_a_terminal(rows: list[list[str]]) -> None:
    written = io.BytesIO()
    screen = _Screen(written, encoding="utf-8", newline="")
    with as_file(screen) as out, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        for line in table(("state", "name"), rows, folds={1}, is_last_below=True, out=Terminal()):
            out.write(line)
    shown = _STYLE.sub("", written.getvalue().decode())
    assert shown == terminal_text(shown)
    assert "\x1b[1m" in written.getvalue().decode()


class _Screen(io.TextIOWrapper):
    """A stream to a terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True
