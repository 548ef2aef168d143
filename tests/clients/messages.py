"""Programs that speak to the Messages API, with their defaults: each is answered, also where the chain steps."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.clients.environments import NotInstalledError, node_of, python_of
from tests.clients.site import Site
from tests.support.sites.worker_site import OPUS, SONNET

_HERE = Path(__file__).parent
_PROMPT = "Why is the sea salt?"
_DOWN = f'[[rules]]\nmodel = "{OPUS}"\nanswer = 529'
_OK, _OVERLOADED = 200, 529
_LONGEST_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Client:
    """`command` makes the environment, and returns what is run in it; `lines` is how many answers it prints.

    None: a program that prints more than its answers.
    """

    name: str
    command: Callable[[], list[str]]
    lines: int | None = 2


def checks(site: Site) -> Iterator[tuple[str, bool]]:
    """Try each client with the primary up, then with the primary down; what cannot be installed has failed."""
    commands = dict[str, list[str]]()
    for client in _CLIENTS:
        try:
            commands[client.name] = client.command()
        except NotInstalledError as error:
            yield f"{client.name}: cannot be installed: {error}", False
    for script, model in (("", OPUS), (_DOWN, SONNET)):
        site.simulator.set_script(script)
        for client in _CLIENTS:
            if client.name in commands:
                yield f"{client.name}: is answered by {model}", _is_answered(client, commands[client.name], site, model)
    site.simulator.set_script("")


def _is_answered(client: _Client, command: list[str], site: Site, model: str) -> bool:
    """Run a client once. The API must have taken each request, and the client must have printed each answer."""
    before = len(site.simulator.purchases())
    with TemporaryDirectory() as home:
        run = subprocess.run(
            command,
            check=False,
            cwd=home,
            env=_variables(site, home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
        )
    bought = site.simulator.purchases()[before:]
    answers = [each for each in bought if each["status"] == _OK]
    is_taken = {each["status"] for each in bought} <= {_OK, _OVERLOADED}
    printed = [line for line in run.stdout.splitlines() if line.strip()]
    is_printed = len(printed) == client.lines if client.lines else bool(printed)
    is_right = run.returncode == 0 and is_taken and is_printed and {each["served_model"] for each in answers} == {model}
    if not is_right:
        statuses = [(each["requested_model"], each["status"], each["version"]) for each in bought]
        sys.stdout.write(f"{client.name} ended with {run.returncode}; asked {statuses}\n{run.stdout}{run.stderr}\n")
    return is_right


def _variables(site: Site, home: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "STEPDOWN_"))}
    return kept | {
        "ANTHROPIC_API_KEY": "any-will-do-here",
        "ANTHROPIC_BASE_URL": site.url,
        "ANTHROPIC_API_BASE": site.url,  # LiteLLM's word for it
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HOME": home,
    }


def _python(name: str, script: str, *needs: str, lines: int = 2) -> _Client:
    command = partial(python_of, name, *needs)
    return _Client(name=name, command=lambda: [str(command()), str(_HERE / script), *_ASKED], lines=lines)


def _node(name: str, script: str, *needs: str) -> _Client:
    return _Client(name=name, command=lambda: ["node", str(node_of(name, _HERE / script, *needs)), *_ASKED])


def _program(name: str, program: str, options: tuple[str, ...], *needs: str) -> _Client:
    command = partial(python_of, name, *needs)
    return _Client(name=name, command=lambda: [str(command().with_name(program)), *options], lines=None)


_ASKED = (OPUS, _PROMPT)
_AIDER = ("--no-git", "--yes-always", "--no-check-update", "--analytics-disable", "--no-show-release-notes")
_CLIENTS = (
    _python("anthropic-2", "anthropic_sdk.py", "anthropic==2.14.0"),
    _python("anthropic-0.49", "anthropic_sdk.py", "anthropic==0.49.0"),
    _node("typescript", "typescript_sdk.mjs", "@anthropic-ai/sdk@1.14.0"),
    _node("vercel-ai", "ai_sdk.mjs", "ai@7.0.173", "@ai-sdk/anthropic@4.0.105"),
    _python("langchain", "langchain_chat.py", "langchain-anthropic==1.7.10"),
    _python("pydantic-ai", "pydantic_agent.py", "pydantic-ai-slim[anthropic]==2.68.0", lines=1),
    _python("litellm", "litellm_chat.py", "litellm==1.110.2"),
    _program("llm", "llm", ("-m", f"anthropic/{OPUS}", "--no-log", _PROMPT), "llm==0.36", "llm-anthropic==0.30"),
    _program("aider", "aider", ("--model", f"anthropic/{OPUS}", *_AIDER, "--message", _PROMPT), "aider-chat==0.86.2"),
)
