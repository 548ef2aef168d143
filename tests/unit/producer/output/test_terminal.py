"""Nothing a model or a stranger wrote steers a terminal."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.output.terminal import REDRAW, as_file, drawable, terminal_text, width_of, wrapped

ANY_TEXT = st.text(st.characters())


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_what_can_be_seen_is_left_as_it_is(text: str) -> None:
    assert terminal_text(text) == text


@given(ANY_TEXT)
def test_what_is_fit_to_be_shown_stays_so(text: str) -> None:
    assert terminal_text(terminal_text(text)) == terminal_text(text)


@given(ANY_TEXT)
def test_no_direction_is_turned_and_no_line_broken(text: str) -> None:
    shown = terminal_text(text)
    assert not set(shown) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert len(shown.splitlines()) <= 1
    assert "\t" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        ("50%\rdone", r"50%\rdone"),
        ("\x9b2J", r"\x9b2J"),
        ("\ud83d", r"\ud83d"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("tab\tand\nnewline", r"tab\tand\nnewline"),
    ],
)
def test_it_becomes_an_escape_one_can_read(text: str, shown: str) -> None:
    assert terminal_text(text) == shown


@given(
    st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9), min_size=1),
    st.integers(40, 90),
)
def test_prose_is_broken_at_spaces_alone_and_fits(words: list[str], columns: int) -> None:
    line = f"  12:27:54  {' '.join(words)}"
    lines = wrapped(line, columns).split("\n")
    assert " ".join(" ".join(lines).split()) == " ".join(line.split())
    assert max(map(width_of, lines)) <= columns
    assert all(each.startswith(" " * 12) for each in lines[1:])
    assert wrapped(line, None) == line


def test_a_word_that_is_too_long_for_a_line_stays_whole() -> None:
    path = "/a/long/path" * 9
    assert wrapped(f"cannot read {path}; name another", 40) == f"cannot read\n    {path};\n    name another"


class _Screen(io.TextIOWrapper):
    """A stream to a terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


_STEERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")


@given(st.lists(st.lists(ANY_TEXT, min_size=1, max_size=3), max_size=3))
def test_no_text_steers_a_terminal_however_it_is_written(rows: list[list[str]]) -> None:
    shown = io.BytesIO()
    screen = _Screen(shown, encoding="utf-8", newline="")
    with as_file(screen) as out:
        csv.writer(out).writerows(rows)
        out.writelines(cell for row in rows for cell in row if not cell.startswith(REDRAW))
        print(rows[:1] and rows[0][0].removeprefix(REDRAW), file=out)
    assert _STEERS.search(shown.getvalue().decode()) is None


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_goes_into_a_file_stays_to_the_byte(text: str) -> None:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="ascii")
    with as_file(file) as out:
        out.write(text)
    assert written.getvalue() == text.encode()


def test_a_line_is_begun_again_where_we_say_so_and_nowhere_else() -> None:
    shown = io.BytesIO()
    screen = _Screen(shown, encoding="utf-8")
    with as_file(screen) as out:
        out.write(f"{REDRAW}a{REDRAW}b\tc\n")
    assert shown.getvalue() == b"\r\x1b[2Ka\\r\\x1b[2Kb\tc\n"


def test_a_bar_is_of_plain_characters_where_there_are_no_others() -> None:
    latin, any_text = (io.TextIOWrapper(io.BytesIO(), encoding=name) for name in ("latin-1", "utf-8"))
    assert drawable("  █·  1/2", latin) == "  #.  1/2"
    assert drawable("  █·  1/2", any_text) == "  █·  1/2"
