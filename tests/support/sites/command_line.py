"""A person at a terminal: a folder of their own, an environment without a single setting, and the command."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.simulator.process import RunningSimulator
from tests.support.sites import warm_start

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "tests" / "examples"
TEXTS = ROOT / "producer" / "simulator" / "texts"
KEY = "sk-ant-canary-of-the-key"
_COMMAND = str(Path(sys.executable).with_name("stepdown"))
_OF_THE_SYSTEM = ("PATH", "TMPDIR")
_END_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody who has just installed Stepdown and works in `folder`."""

    folder: Path
    environment: Mapping[str, str]

    def write(self, name: str, text: str) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def configure(self, **settings: str) -> None:
        """Write .env."""
        self.write(".env", "".join(f"{name}={value}\n" for name, value in settings.items()))

    def types(self, *arguments: str | Path, stdin: str = "", expect: int | None = 0) -> Ended:
        """Run `stepdown` with these arguments to its end; anything but `expect` is a failure that shows all of it."""
        command = self.command(*arguments)
        run = warm_start.run(command, **self._where(), input=stdin.encode(), capture_output=True, timeout=_END_S)
        ended = Ended(code=run.returncode, out=run.stdout.decode(), err=run.stderr.decode())
        assert expect in {None, ended.code}, f"stepdown {arguments} ended with {ended}"
        assert "Traceback" not in ended.err, ended.err
        return ended

    def types_in_a_shell(self, line: str) -> Ended:
        """Run a line of bash, `stepdown` being on the PATH; its code is that of the first command that failed.

        One command of ours, whose input may be a file, needs no bash for it.
        """
        plain = _plain_command(line)
        if plain is not None:
            words, given = plain
            with (self.folder / given).open("rb") as stdin:
                run = warm_start.run(
                    [_COMMAND, *words], **self._where(), stdin=stdin, capture_output=True, timeout=_END_S
                )
        else:
            where = self._where()
            where["env"]["PATH"] = f"{Path(_COMMAND).parent}:{where['env'].get('PATH', '')}"
            shell = ["bash", "-o", "pipefail", "-c", line]
            run = subprocess.run(
                shell, check=False, **where, capture_output=True, stdin=subprocess.DEVNULL, timeout=_END_S
            )
        return Ended(code=run.returncode, out=run.stdout.decode(), err=run.stderr.decode())

    @contextmanager
    def starts(self, *arguments: str | Path, log: str | None = None) -> Iterator[subprocess.Popen[str]]:
        """Start `stepdown` and leave it running for a block; it is ended with SIGTERM where it has not ended.

        What it says goes into the file `log`, else into pipes: a process that says much stands still there.
        """
        with ExitStack() as until_end:
            pipe: Any = subprocess.PIPE
            words = pipe if log is None else until_end.enter_context((self.folder / log).open("w"))
            process = until_end.enter_context(
                warm_start.Popen(
                    self.command(*arguments),
                    **self._where(),
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    text=True,
                )
            )
            try:
                yield process
            finally:
                end(process)

    def command(self, *arguments: str | Path) -> list[str]:
        """Build the command line."""
        return [_COMMAND, *map(str, arguments)]

    def _where(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": dict(self.environment)}


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Ask a process to end and wait until it has."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def stranger_in(folder: Path, **environment: str) -> Stranger:
    """Make a stranger with the examples and the demo's texts at hand, as in a checkout."""
    for files in (EXAMPLES, TEXTS):
        if not (copy := folder / files.relative_to(ROOT)).exists():
            shutil.copytree(files, copy)
    system = {name: os.environ[name] for name in _OF_THE_SYSTEM if name in os.environ}
    return Stranger(folder=folder, environment={**system, "HOME": str(folder), "LANG": "C.UTF-8", **environment})


def settings_for(simulator: RunningSimulator, **more: str) -> dict[str, str]:
    """Write down what a .env needs to work with the simulator."""
    return {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": simulator.url, "CLOCK_TICK_S": "0.1", **more}


def _plain_command(line: str) -> tuple[list[str], str] | None:
    """Return the arguments of a line's one command of ours, and the file of its input. None: the line needs a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="<>|&;()")
    lexer.whitespace_split = True
    program, *words = lexer
    given = os.devnull
    if words[-2:-1] == ["<"]:
        *words, _, given = words
    is_expanded = set("$`*~") & set(re.sub(r"\"[^\"]*\"|'[^']*'", "", line))
    is_plain = program == "stepdown" and not is_expanded and not any(set(word) <= set("<>|&;()") for word in words)
    return (words, given) if is_plain else None
