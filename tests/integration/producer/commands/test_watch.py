"""The line that follows a batch fits the terminal it is written in, however narrow, and is written in place."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from tests.support.sites.command_line import KEY, Stranger, stranger_in

_LINES = 12  # that are waited for
_BLANK = "\r\x1b[2K"


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Submit ten thousand prompts of a long cap to nobody."""
    me = stranger_in(tmp_path, ANTHROPIC_API_KEY=KEY)
    me.write("many.txt", "".join(f"Summarize: harbour {number}.\n" for number in range(10_000)))
    me.types("submit", "many.txt", "--name", "many")
    return me


def resize(terminal: int, columns: int) -> None:
    """Give a terminal so many columns."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def watched(me: Stranger, *widths: int) -> list[str]:
    """Follow the batch in a terminal that is made so wide, one width after the other; returns each line written."""
    ours, theirs = pty.openpty()
    resize(theirs, widths[0])
    process = subprocess.Popen(
        me.command("watch", "many"), cwd=me.folder, env=dict(me.environment), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        seen = ""
        for width in widths:
            resize(ours, width)
            until = seen.count(_BLANK) + _LINES
            while seen.count(_BLANK) < until:
                seen += os.read(ours, 4096).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "\n" not in seen, "every line is written over the one before"
    return seen.split(_BLANK)[1:-1]


@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_no_line_is_wider_than_its_terminal(me: Stranger, width: int) -> None:
    printed = watched(me, width)
    assert all("0/10000" in line for line in printed)
    assert max(map(len, printed)) < width
    if width >= 80:
        assert all(line.startswith("  ····") for line in printed)


def test_a_terminal_that_is_made_narrower_is_heeded(me: Stranger) -> None:
    printed = watched(me, 120, 40)
    assert max(map(len, printed[:_LINES])) > 40
    assert max(map(len, printed[-_LINES + 3 :])) < 40
