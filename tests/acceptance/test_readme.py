"""README.md: each of its commands runs as it is written, in order, in one folder; so do its Python blocks."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from producer.simulator.process import running_simulator
from tests.acceptance.compose import Reader
from tests.support.eventually import eventually
from tests.support.servers.ports import free_port
from tests.support.sites.command_line import KEY, ROOT, Ended, Stranger, stranger_in

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ")
    for language, block in BLOCK.findall(README)
    if language == "console"
    for line in block.splitlines()
    if line.startswith("$ ")
]
PYTHON = [block for language, block in BLOCK.findall(README) if language == "python"]
GOES_ON = ("stepdown worker", "stepdown serve")
ENDS_BY_ITSELF = [command for command in COMMANDS if not command.startswith(("make ", "docker ", *GOES_ON))]
SERVED_AT = "127.0.0.1:8700"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """Follow the README: .env made of the example, a key in it, and a worker in another terminal."""
    me = stranger_in(tmp_path_factory.mktemp("readme"))
    with ExitStack() as until_end:
        simulator = until_end.enter_context(running_simulator())
        example = (ROOT / ".env.example").read_text(encoding="utf-8")
        with_key = example.replace("ANTHROPIC_API_KEY=\n", f"ANTHROPIC_API_KEY={KEY}\n")
        assert KEY in with_key
        me.write(".env", f"{with_key}\nANTHROPIC_BASE_URL={simulator.url}\nCLOCK_TICK_S=0.1\n")
        assert set(GOES_ON) <= set(COMMANDS)
        until_end.enter_context(me.starts("worker", log="worker.log"))
        eventually(
            lambda: me.types("doctor", "--worker", expect=None).code == 0, within_s=60, because="the worker claims jobs"
        )
        yield me


@pytest.fixture(scope="module")
def served_at(reader: Stranger) -> Iterator[str]:
    """Serve in a third terminal, at a port that is free here."""
    port = free_port()
    with reader.starts("serve", "--port", str(port), log="serve.log"):
        message = reader.folder / "serve.log"
        eventually(lambda: str(port) in message.read_text(), within_s=30, because="it says where it serves")
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def ended(reader: Stranger) -> dict[str, Ended]:
    """Run every command that ends by itself, in order."""
    return {command: reader.types_in_a_shell(command) for command in ENDS_BY_ITSELF}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_there_is_something_to_run() -> None:
    assert {command.split()[0] for command in COMMANDS} >= {"make", "stepdown"}
    assert PYTHON


@pytest.mark.parametrize("command", ENDS_BY_ITSELF)
def test_each_command_ends_well(ended: dict[str, Ended], command: str) -> None:
    printed = ended[command]
    assert (printed.code, "Traceback" in printed.err) == (0, False), printed
    assert printed.out or {"-o", "--failed", "--held"} & set(command.split())


def test_what_was_submitted_was_answered_and_written_where_the_readme_says(
    reader: Stranger, ended: dict[str, Ended]
) -> None:
    watched = [printed.err for command, printed in ended.items() if "--watch" in command]
    assert watched
    assert all("  0 failed" in err for err in watched)
    for command in ended:
        for written in re.findall(r" -o (\S+)", command):
            assert (reader.folder / written).stat().st_size > 0


def test_no_command_shows_the_key(ended: dict[str, Ended]) -> None:
    assert not [command for command, printed in ended.items() if KEY in printed.out + printed.err]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_each_make_target_exists(command: str) -> None:
    program, *targets = shlex.split(command)
    subprocess.run([program, "-n", *targets], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("docker ")])
def test_each_docker_command_names_services_profiles_and_commands_that_exist(reader: Stranger, command: str) -> None:
    services = Reader((ROOT / "docker-compose.yml").read_text(encoding="utf-8")).read()["services"]
    docker, compose, *words = shlex.split(command)
    assert (docker, compose) == ("docker", "compose")
    if "--profile" in words:
        profile = words[words.index("--profile") + 1]
        assert profile in {name for service in services.values() for name in service.get("profiles", [])}
    if "exec" in words:
        service, program, *arguments = words[words.index("exec") + 1 :]
        assert (service in services, program) == (True, "stepdown")
        assert reader.types(*arguments, "--help").code == 0
    assert {"up", "exec"} & set(words)


@pytest.mark.parametrize("block", PYTHON, ids=range(len(PYTHON)))
def test_each_python_block_runs_and_prints(reader: Stranger, served_at: str, block: str) -> None:
    script = reader.write("block.py", block.replace(SERVED_AT, served_at))
    run = subprocess.run(
        [sys.executable, script.name],
        cwd=reader.folder,
        env=dict(reader.environment),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert "claude-" in run.stdout


def test_each_file_it_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / Path(link)).exists()] == []
