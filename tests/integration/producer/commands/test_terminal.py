"""At a terminal no text of a model or a person steers it; into a pipe every byte goes as it is."""

import os
import pty
import re
import subprocess

import pytest

from tests.support.sites.command_line import Stranger, stranger_in

_OUR_STYLE = re.compile(
    r"\x1b\[(0|1|3[1236])m"
)  # of headings and states; a text has none of them as control characters
_BAD = "\x1b[35m\x1b]0;owned\x07\x1b[2J\x9b1m\u202e"
_SQL = "SELECT char(27) || '[2J' || char(155) || char(8238) || char(13) || 'x' AS c"


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Have a batch whose columns and prompts hold what steers a terminal."""
    me = stranger_in(tmp_path_factory.mktemp("terminal"))
    me.write("a.csv", f'id,title,prompt\n"a{_BAD}","{_BAD}",Why?\nb,plain,Why?\n')
    me.types("submit", "a.csv", "--name", "named")
    return me


@pytest.mark.parametrize(
    "command",
    [
        ("results", "named", "--format", "csv"),
        ("results", "named", "--format", "jsonl"),
        ("show", "named", "--jsonl"),
        ("show", "named"),
        ("ledger", "sql", _SQL, "--csv"),
        ("ledger", "sql", _SQL, "--json"),
        ("ledger", "sql", _SQL),
        ("ledger", "sql", f'SELECT 1 AS "{_BAD}"', "--csv"),
        ("ledger", "sql", f'SELECT * FROM "{_BAD}"'),  # noqa: S608
        ("ledger", "report", "--by", _BAD),
        ("submit", f"{_BAD}.csv"),
        (f"--{_BAD}",),
        ("results", "named", "--format", "csv", "-o", "/dev/stdout"),
    ],
)
def test_nothing_steers_a_terminal(me: Stranger, command: tuple[str, ...]) -> None:
    shown = _OUR_STYLE.sub("", _at_a_terminal(me, command))
    assert shown.strip()
    assert not set(shown) & set("\x1b\x07\x9b\u202e"), shown
    assert "\r" not in shown.replace("\r\n", "")


def test_a_pipe_gets_every_byte(me: Stranger) -> None:
    assert _BAD in me.types("results", "named", "--format", "csv").out
    assert "\x1b[2J\x9b\u202e\rx" in me.types("ledger", "sql", _SQL, "--csv").out


def _at_a_terminal(me: Stranger, command: tuple[str, ...]) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        me.command(*command), cwd=me.folder, env=dict(me.environment), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while block := _read(ours):
            shown += block
        process.wait(60)
    os.close(ours)
    return shown.decode().replace("\r\r\n", "\r\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the last one who had it open is gone
        return b""
