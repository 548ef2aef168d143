"""The simulator as a process: how it starts, what it refuses, how it ends, what it can hold."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from producer.simulator.process import SimulatorError, running_simulator

_ROOT = Path(__file__).parents[4]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "producer.simulator", *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=30, check=False)


def _body(text: str) -> dict[str, object]:
    return {"model": "claude-opus-4-7", "max_tokens": 50, "messages": [{"role": "user", "content": text}]}


async def _ask_all(url: str, count: int) -> list[dict[str, object]]:
    async with (
        aiohttp.TCPConnector(limit=0) as connector,
        aiohttp.ClientSession(
            connector=connector, headers={"x-api-key": "k", "anthropic-version": "2023-06-01"}
        ) as session,
    ):

        async def ask(number: int) -> dict[str, object]:
            async with session.post(f"{url}/v1/messages", json=_body(f"Prompt {number}")) as response:
                answer: dict[str, object] = await response.json()
                return answer

        return list(await asyncio.gather(*(ask(number) for number in range(count))))


def test_a_wrong_script_ends_with_2_and_names_the_place(tmp_path: Path) -> None:
    script = tmp_path / "bad.toml"
    script.write_text("[[rules]]\nanswer = 'ok'\nshare = 2\n", encoding="utf-8")
    ended = _run("--script", str(script))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"{script}: rule 1: field 'share': 2 is wrong; right is a number from 0 to 1" in ended.stderr


def test_a_missing_script_ends_with_2(tmp_path: Path) -> None:
    ended = _run("--script", str(tmp_path / "none.toml"))
    assert ended.returncode == 2
    assert "none.toml" in ended.stderr


def test_a_port_in_use_ends_with_2() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        ended = _run("--port", str(taken.getsockname()[1]))
    assert ended.returncode == 2
    assert "cannot listen on 127.0.0.1" in ended.stderr


def test_a_wrong_latency_ends_with_2() -> None:
    ended = _run("--latency-s=-1")
    assert ended.returncode == 2
    assert "right is seconds, 0 or more" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_with_0_while_a_call_hangs(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "hang.toml"
    script.write_text("[[rules]]\nanswer = 'hang'\n", encoding="utf-8")
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "producer.simulator", "--seed", "11", "--script", str(script)]
    command += ["--ready-file", str(ready)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, url, *seed = process.stdout.readline().split()
        assert (word, seed) == ("simulator", ["seed", "11"])
        body = json.dumps(_body("Hello")).encode()
        head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        with closing(socket.create_connection(("127.0.0.1", int(urlsplit(url).port or 0)))) as sock:
            sock.sendall(head.encode() + body)
            process.send_signal(number)
            assert process.wait(10) == 0
    assert ready.read_text(encoding="utf-8").strip() == url


def test_the_context_manager_ends_its_process() -> None:
    with running_simulator() as simulator:
        os.kill(simulator.pid, 0)  # signal 0 only asks whether it is there
    with pytest.raises(ProcessLookupError):
        os.kill(simulator.pid, 0)


def test_the_context_manager_repeats_what_the_simulator_says_about_a_script() -> None:
    with pytest.raises(SimulatorError, match="rule 1: field 'answer': missing"), running_simulator(script="[[rules]]"):
        pytest.fail("it must not start")


def test_a_given_log_outlives_the_simulator_and_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "purchases.jsonl"
    for _ in range(2):
        with running_simulator(log=log) as simulator:
            asyncio.run(_ask_all(simulator.url, 1))
    assert [json.loads(line)["n"] for line in log.read_text(encoding="utf-8").splitlines()] == [1, 2]


def test_six_hundred_calls_are_held_at_once() -> None:
    with running_simulator(script="[[rules]]\nanswer = 'slow'\ndelay_s = 2\n") as simulator:
        answers = asyncio.run(_ask_all(simulator.url, 600))
        stats = simulator.stats()
        purchases = simulator.purchases()
    assert {answer["type"] for answer in answers} == {"message"}
    assert stats["most_in_flight"] >= 500
    assert [purchase["n"] for purchase in purchases] == list(range(1, 601))
    assert stats["billed_nano_usd"] == sum(purchase["billed_nano_usd"] for purchase in purchases)


def test_two_processes_with_one_seed_give_the_same_answers() -> None:
    answers = []
    for _ in range(2):
        with running_simulator(seed=5) as simulator:
            answers.append(asyncio.run(_ask_all(simulator.url, 20)))
    assert answers[0] == answers[1]
