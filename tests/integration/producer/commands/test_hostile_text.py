"""The command where the machine is against it: wrong places, closed streams, a terminal without UTF-8."""

from pathlib import Path

import pytest

from tests.support.sites.command_line import KEY, Stranger, stranger_in


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Work in an empty folder."""
    me = stranger_in(tmp_path)
    me.configure(ANTHROPIC_API_KEY=KEY)
    return me


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hidden@h:abc/d", "(hidden)"),
        ("postgresql://u:hid@den@h/d", "(hidden)"),
        ("postgresql://h/d?password=hidden", "(hidden)"),
        ("postgresql://u:hid@h/den@h/d", "(hidden)"),
        ("postgresql://u:hid@h?den@h/d", "(hidden)"),
        ("postgresql://us/er:hidden@h/d", "(hidden)"),
        ("mysql://u:hid@h/den@h/d", "(hidden)"),
        ("sqlite://u:hidden@h/x.db", "sqlite://u:***@h/x.db"),
        ("postgresql://h/d?sslpassword=hidden", "(hidden)"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///%3Amemory%3A"),
        ("sqlite://x.db", "sqlite://x.db"),
        ("sqlite:///x.db?nonsense=1", "sqlite:///x.db?nonsense=1"),
    ],
)
def test_a_ledger_that_cannot_be_meant_ends_with_2(me: Stranger, url: str, shown: str) -> None:
    me.configure(DATABASE_URL=url)
    printed = me.types("ls", expect=2)
    assert f"settings: DATABASE_URL={shown}: write sqlite:///path/to/ledger.db" in printed.err
    assert "hidden@" not in printed.err
    assert "den@" not in printed.err
    assert "hidden" not in printed.err.replace("(hidden)", "")


def test_a_ledger_where_no_file_can_be_ends_with_4_and_names_it(me: Stranger) -> None:
    me.write("file", "")
    for path in ("/proc/nope/l.db", "/etc/passwd/l.db", "file/l.db"):
        me.configure(DATABASE_URL=f"sqlite:///{path}")
        assert f"stepdown: ledger {path}: cannot be made" in me.types("ls", expect=4).err


def test_a_ledger_is_its_owners_alone(me: Stranger) -> None:
    me.write("a.txt", "Why?\n")
    me.types_in_a_shell("umask 000; stepdown submit a.txt")
    assert me.types("ls").out
    modes = {path.name: path.stat().st_mode & 0o777 for path in (me.folder / ".stepdown").glob("ledger.db*")}
    assert set(modes.values()) == {0o600}, modes


def test_a_worker_whose_folder_is_a_file_ends_with_4(me: Stranger) -> None:
    me.configure(ANTHROPIC_API_KEY=KEY, STATE_DIR="/etc/passwd")
    assert "stepdown: broker: /etc/passwd cannot be written" in me.types("worker", expect=4).err


def test_a_closed_stdin_is_told(me: Stranger) -> None:
    printed = me.types_in_a_shell("stepdown submit - <&-")
    assert (printed.code, printed.err) == (
        2,
        "stepdown: stdin: is closed; pipe prompts into it, or name a file\nnothing was queued\n",
    )


@pytest.mark.parametrize(
    ("command", "closed", "code"),
    [
        ("ls", ">&-", 0),
        ("--help", ">&-", 0),
        ("submit a.txt", ">&-", 0),
        ("submit a.txt", "<&- >&- 2>&-", 0),
        ("results none", ">&- 2>&-", 2),
        ("nothing", "2>&-", 2),
    ],
)
def test_closed_streams_are_no_crash(me: Stranger, command: str, closed: str, code: int) -> None:
    me.write("a.txt", "Why?\n")
    printed = me.types_in_a_shell(f"stepdown {command} {closed}")
    assert "Traceback" not in printed.err + printed.out
    assert printed.code == code
    assert me.types("ls").err == ""  # and nothing was written into the ledger but rows


@pytest.mark.parametrize(
    "terminal",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_a_terminal_that_lacks_a_letter_is_shown_its_escape(tmp_path: Path, terminal: dict[str, str]) -> None:
    me = stranger_in(tmp_path)
    me.write("a.txt", "Why?\n")
    me.types("submit", "a.txt", "--name", "Œuvre")
    there = stranger_in(tmp_path, **terminal)
    assert r"\u0152uvre" in there.types("ls").out
    batch = there.types("ls").out.splitlines()[1].split()[0]
    assert there.types("show", batch).code == 0


def test_a_misspelt_task_is_told_beside_the_id(me: Stranger) -> None:
    me.write("a.txt", "Why?\n")
    me.configure(ANTHROPIC_API_KEY=KEY, TASK_STARTS="summarize:claude-haiku-4-5-20251001")
    printed = me.types("submit", "a.txt", "--task", "sumarize")
    assert "TASK_STARTS has no task 'sumarize'" in printed.err
    assert "TASK_STARTS" not in me.types("submit", "a.txt", "--task", "summarize").err
    assert len(printed.out) == 37
