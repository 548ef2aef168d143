"""The command as a stranger meets it: help, usage, settings, exit codes, nothing secret on any screen."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers.ports import free_port
from tests.support.sites.command_line import KEY, Stranger, stranger_in

COMMANDS = (
    "submit", "watch", "status", "ls", "results", "show", "job", "cancel", "doctor", "worker", "flower", "simulate",
    "demo", "db", "retry", "release", "drop", "purge", "mcp", "serve",
)  # fmt: skip
HEAVY = {
    "sqlalchemy",
    "alembic",
    "celery",
    "kombu",
    "redis",
    "anthropic",
    "pydantic_settings",
    "rich",
    "psycopg",
    "genai_prices",
    "mcp",
    "starlette",
    "uvicorn",
}
WHAT_HELP_IMPORTS = """
import sys
from producer.cli import main
sys.argv = ["stepdown", *sys.argv[1:]]
try:
    main()
finally:
    sys.stderr.write(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Work in an empty folder."""
    return stranger_in(tmp_path)


def test_help_shows_every_command(me: Stranger) -> None:
    printed = me.types("--help")
    assert printed.err == ""
    listed = [line.split()[0] for line in printed.out.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    assert set(COMMANDS) <= set(listed)
    for command in COMMANDS:
        line = next(line for line in printed.out.splitlines() if line.startswith(f"  {command} "))
        assert len(line.split()) > 2, f"{command} has no help"


def test_help_is_as_wide_as_the_terminal(tmp_path: Path) -> None:
    for columns, has_whole_summary in ((80, False), (200, True)):
        lines = stranger_in(tmp_path, COLUMNS=str(columns)).types("--help").out.splitlines()
        assert max(map(len, lines)) <= columns
        (doctor,) = (line for line in lines if line.startswith("  doctor "))
        assert doctor.endswith(" each finding says what would be right.") == has_whole_summary


@pytest.mark.parametrize("arguments", [["--help"], ["submit", "--help"], ["db", "--help"], ["doctor", "-h"]])
def test_help_waits_for_no_database_no_queue_and_no_sdk(arguments: list[str]) -> None:
    command = [sys.executable, "-c", WHAT_HELP_IMPORTS, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert HEAVY & set(run.stderr.split()) == set()
    assert "Usage: " in run.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["submit"], "Missing argument 'FILE|-'"),
        (["submit", "a.txt", "--max-tokens", "0"], "--max-tokens"),
        (["submit", "a.txt", "--tag", "team"], "submit: --tag: 'team' should be NAME=VALUE"),
        (["submit", "none.jsonl"], "none.jsonl: cannot be read: No such file or directory; name a readable file"),
        (["submit", "a.pdf"], "a.pdf: has a name that does not tell its format; end it in .jsonl"),
        (
            ["submit", "a.txt", "--format", "xml"],
            "a.txt: format: 'xml' should be one of jsonl, text, csv, parquet, anthropic, openai",
        ),
        (["submit", "a.txt", "--template", "{x}"], "a.txt: template: needs columns, and text has none"),
        (["submit", "a.txt", "--name", "x" * 201], "submit: name: has 201 characters; a name has at most 200"),
        (["submit", "a.txt", "--key", ""], "submit: key: '' should be text, or be left out"),
        (["submit", "a.txt", "--name", "\udcff"], "submit: name: holds half a surrogate pair"),
        (["status", "none"], "no batch is called or begins with 'none'; `stepdown ls` lists the batches"),
        (["status", "\udcff"], r"'\udcff' is no batch's name or id"),
        (["cancel", ""], "'' is no batch's name or id"),
        (["job", "none"], "no job is called or begins with 'none'"),
        (["results", "none", "--format", "xml"], "none"),
        (["worker", "--none"], "No such option '--none'"),
    ],
)
def test_what_cannot_be_done_is_told_on_stderr_and_ends_with_2(
    me: Stranger, arguments: list[str], message: str
) -> None:
    me.write("a.txt", "Why?\n")
    me.write("a.pdf", "Why?\n")
    me.configure(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    printed = me.types(*arguments, expect=2)
    assert message in printed.err
    assert printed.out == ""


def test_every_wrong_setting_is_named_with_its_fix_and_no_secret_is_shown(me: Stranger) -> None:
    me.configure(
        ANTHROPIC_API_KEY=KEY,
        ANTHROPIC_BASE_URL="api.example",
        MODEL_CHAIN="a,,b",
        WORKER_CONCURRENCY="many",
        REDIS_URL="http://:hidden-one@x",
        DATABASE_URL="mysql://u:hidden-two@h/d",
        TASK_STARTS="summarize",
        CLIMB_ON="overloaded",
    )
    printed = me.types("ls", expect=2)
    assert printed.out == ""
    for variable in ("ANTHROPIC_BASE_URL", "MODEL_CHAIN", "WORKER_CONCURRENCY", "REDIS_URL", "CLIMB_ON"):
        assert f"settings: {variable}=" in printed.err
    assert not {KEY, "hidden-one", "hidden-two"} & set(printed.err.replace(":", " ").replace("@", " ").split())


def test_a_database_that_is_neither_of_the_two_is_refused_without_its_password(me: Stranger) -> None:
    me.configure(DATABASE_URL="mysql://u:hidden-two@h/d")
    printed = me.types("ls", expect=2)
    assert "settings: DATABASE_URL=mysql://u:***@h/d: write sqlite:///" in printed.err


def test_a_model_without_a_price_ends_with_5_and_tells_both_ways_on(me: Stranger) -> None:
    me.write("a.txt", "Why?\n")
    me.configure(MODEL_CHAIN="my-own-model")
    printed = me.types("submit", "a.txt", expect=5)
    assert printed.out == ""
    assert "no price for my-own-model: add it to MODEL_COSTS" in printed.err
    assert "--allow-unpriced" in printed.err
    assert me.types("ls").out == ""
    assert me.types("submit", "a.txt", "--allow-unpriced").out.strip() in me.types("ls").out.split()


def test_a_ledger_that_is_away_ends_with_4_and_hides_its_password(me: Stranger) -> None:
    me.configure(DATABASE_URL=f"postgresql://u:hidden@127.0.0.1:{free_port()}/d", ANTHROPIC_API_KEY=KEY)
    for arguments in (["ls"], ["submit", "-"], ["db", "upgrade"]):
        printed = me.types(*arguments, stdin="Why?\n", expect=4)
        assert printed.err.startswith("stepdown: ledger postgresql+psycopg://u:***@127.0.0.1:")
        assert "refused" in printed.err
        assert (printed.out, "hidden" in printed.err) == ("", False)


def test_a_ledger_that_is_no_database_ends_with_4(me: Stranger) -> None:
    me.write("ledger.db", "Dear diary, " * 500)
    me.configure(DATABASE_URL="sqlite:///ledger.db")
    assert "ledger sqlite:///ledger.db: file is not a database" in me.types("ls", expect=4).err


def test_flower_without_any_broker_ends_with_4_and_says_how_to_have_one(me: Stranger) -> None:
    assert "start `stepdown worker`, which brings its own, or set REDIS_URL" in me.types("flower", expect=4).err


def test_a_reader_that_has_seen_enough_is_no_error(me: Stranger) -> None:
    me.write("a.txt", "".join(f"Why {number}?\n" for number in range(1500)))
    batch = me.types("submit", "a.txt").out.strip()
    for line in (f"results {batch} | head -1", f"show {batch} --jsonl | head -1", "ls | true", "--help | true"):
        printed = me.types_in_a_shell(f"stepdown {line}")
        assert (printed.code, printed.err) == (0, ""), line
    assert "No such command" in me.types_in_a_shell("stepdown nothing | true").err


@pytest.mark.parametrize("command", ["submit", "watch", "status", "ls", "results", "show", "job", "cancel", "doctor"])
def test_every_command_explains_itself(me: Stranger, command: str) -> None:
    printed = me.types(command, "--help")
    assert printed.out.startswith(f"Usage: stepdown {command} ")
    assert printed.err == ""
