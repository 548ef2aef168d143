"""From a submitted file to its answers: a real worker, and the commands that follow, show and write them."""

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.support.eventually import eventually
from tests.support.sites.command_line import Stranger, stranger_in
from tests.support.sites.worker_site import API_KEY, HAIKU, OPUS, SONNET, Plant, one_test, running_plant

OWN = ["id", "text", "model", "fallback_depth", "stop_reason", "cost_usd", "error", "state"]
SLOW = "[[rules]]\nanswer = 'slow'\ndelay_s = 12"
BOOM = '[[rules]]\nprompt_contains = "boom"\nanswer = "400"\n[[rules]]\nmodel = "opus"\nanswer = 529'


@pytest.fixture(scope="module", params=["sqlite"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("worker"), CALL_TIMEOUT_S="30") as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


@pytest.fixture
def me(plant: Plant, tmp_path: Path) -> Stranger:
    """Work in a folder whose .env names the worker's ledger, broker and API."""
    me = stranger_in(tmp_path)
    me.configure(**{name: value for name, value in plant.variables.items() if value and name.isupper()})
    return me


@pytest.fixture
def done(plant: Plant, me: Stranger) -> str:
    """Submit three prompts of which one fails and two fall back; returns the batch."""
    plant.simulator.set_script(BOOM)
    me.write("a.csv", 'id,title,prompt\na,"On, bridges",Summarize: bridges.\nb,=1+1,boom\nc,é😀,Summarize: harbours.\n')
    printed = me.types("submit", "a.csv", "--watch", expect=1)
    lines = printed.err.splitlines()
    assert lines[0].split("  ")[1:4] == ["█" * 32, "3/3", "1 failed"]
    assert lines[1].split() == ["model", "depth", "attempts", "ok", "failed", "p50", "cost"]
    assert lines[-2].split()[:3] == ["1", "2", "100.0%"]
    assert lines[-1].startswith("fallback depth: how many models")
    assert len(printed.out) == 37
    return printed.out.strip()


def test_all_succeeded_is_0_and_the_receipt_is_on_stderr(plant: Plant, me: Stranger) -> None:
    bought = len(plant.simulator.purchases())
    arguments = ("submit", "tests/examples/message_batch.jsonl", "--key", "mb/1", "--watch")
    first = me.types(*arguments)
    assert "20/20  0 failed" in first.err
    assert len(plant.simulator.purchases()) == bought + 20
    again = me.types(*arguments)
    assert again.out == first.out
    assert "nothing is bought again" in again.err
    assert len(plant.simulator.purchases()) == bought + 20


def test_answers_are_written_in_each_format_to_stdout_and_to_a_file(me: Stranger, done: str) -> None:
    plain = me.types("results", done)
    first, second, third = (json.loads(line) for line in plain.out.splitlines())
    assert (list(first), plain.err) == (["title", "prompt", *OWN], "")
    assert (first["title"], first["model"], first["fallback_depth"]) == ("On, bridges", SONNET, 1)
    assert (second["text"], second["title"], third["title"]) == (None, "=1+1", "é😀")
    assert second["error"].startswith("bad_request")
    for form in ("jsonl", "csv", "anthropic", "openai"):
        on_screen = me.types("results", done, "--format", form).out
        printed = me.types("results", done, "--format", form, "-o", f"out.{form}")
        assert (printed.out, printed.err) == ("", "")
        assert (me.folder / f"out.{form}").read_bytes().decode() == on_screen
    rows = list(csv.reader(io.StringIO((me.folder / "out.csv").read_bytes().decode(), newline="")))
    assert (rows[0], rows[2][0]) == (["title", "prompt", *OWN], "'=1+1")
    vendor = [json.loads(line) for line in (me.folder / "out.anthropic").read_text(encoding="utf-8").splitlines()]
    assert [(line["custom_id"], line["result"]["type"]) for line in vendor] == [
        ("a", "succeeded"),
        ("b", "errored"),
        ("c", "succeeded"),
    ]


def test_openai_lines_go_in_and_come_out_as_openai_lines(plant: Plant, me: Stranger) -> None:
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why?"}], "max_completion_tokens": 50}
    line = {"custom_id": "x 1", "method": "POST", "url": "/v1/chat/completions", "body": asked}
    refused = {**line, "custom_id": "x 2", "body": {**asked, "n": 2}}
    bought = len(plant.simulator.purchases())
    me.write("bad.jsonl", f"{json.dumps(line)}\n{json.dumps(refused)}\n")
    printed = me.types("submit", "bad.jsonl", expect=2).err
    assert printed.startswith("stepdown: bad.jsonl:2: body.n: 2 cannot be mapped; ")
    assert printed.endswith("nothing was queued\n")
    me.write("a.jsonl", f"{json.dumps(line)}\n")
    printed = me.types("submit", "a.jsonl", "--key", "openai/1", "--watch").err
    assert "the lines name 'gpt-4o-mini': not in MODEL_CHAIN, so ignored" in printed
    batch = me.types("submit", "a.jsonl", "--key", "openai/1").out.strip()
    assert len(plant.simulator.purchases()) == bought + 1
    out = json.loads(me.types("results", batch, "--format", "openai").out)
    assert (out["custom_id"], out["error"], out["response"]["status_code"]) == ("x 1", None, 200)
    body = out["response"]["body"]
    assert (body["object"], body["model"], body["created"] > 1_700_000_000) == ("chat.completion", OPUS, True)
    assert body["choices"][0]["message"]["content"]


def test_parquet_goes_in_and_comes_out_with_its_own_columns(me: Stranger) -> None:
    parquet.write_table(pa.table({"key": [7, 8], "word": ["bridge", "é😀"]}), me.folder / "a.parquet")
    options = ("--template", "Why {word}?", "--id-column", "key", "--watch")
    batch = me.types("submit", "a.parquet", *options).out.strip()
    me.types("results", batch, "--format", "parquet", "-o", "out.parquet")
    rows = parquet.read_table(me.folder / "out.parquet").to_pylist()
    assert [(row["key"], row["word"], row["id"], row["fallback_depth"]) for row in rows] == [
        ("7", "bridge", "7", 0),
        ("8", "é😀", "8", 0),
    ]
    assert all(row["text"] and row["cost_usd"] > 0 and row["error"] is None for row in rows)


def test_a_file_that_cannot_be_written_and_a_format_nobody_knows_are_told(me: Stranger, done: str) -> None:
    for path in ("none/out.jsonl", "."):
        printed = me.types("results", done, "-o", path, expect=2)
        assert f"{path}: cannot be written (" in printed.err
    assert (
        "'xml' is not a format; right is jsonl, csv, anthropic, openai, parquet"
        in me.types("results", done, "--format", "xml", expect=2).err
    )


def test_what_happened_is_shown_by_batch_and_by_job(me: Stranger, done: str) -> None:
    shown = me.types("show", done)
    assert [line.split()[1:3] for line in shown.out.splitlines()] == [
        ["prompt", "state"],
        ["a", "succeeded"],
        ["b", "failed"],
        ["c", "succeeded"],
    ]
    assert "sonnet-4-6" in shown.err
    failed = me.types("show", done, "--failed").out.splitlines()
    assert len(failed) == 2
    assert "bad_request" in failed[1]
    job = shown.out.splitlines()[1].split()[0]
    story = me.types("job", job).out
    assert "1. asked opus-4-7: it was overloaded (529 overloaded_error)" in story
    assert "stepped down to sonnet-4-6: opus-4-7 was overloaded" in story
    assert "2. asked sonnet-4-6 instead (fallback depth 1): it answered" in story
    assert "answered by claude-sonnet-4-6 after 1 model had been given up" in " ".join(story.split())
    printed = json.loads(me.types("job", job, "--json").out)
    assert {attempt["requested_model"] for attempt in printed["attempts"]} == {OPUS, SONNET}
    assert all(isinstance(attempt["cost_nano_usd"], str) for attempt in printed["attempts"])
    assert [decision["reason"] for decision in printed["decisions"]] == ["overloaded"]
    assert "bridges" not in json.dumps(printed)


def test_neither_key_nor_password_is_on_any_screen(plant: Plant, me: Stranger, done: str) -> None:
    password = plant.variables["REDIS_URL"].split(":")[2].partition("@")[0]
    commands = [["ls"], ["status", done], ["show", done], ["results", done], ["doctor"], ["doctor", "--jsonl"]]
    for command in commands:
        printed = me.types(*command, expect=None)
        for secret in (API_KEY, password):
            assert secret not in printed.out + printed.err


def test_a_task_given_on_the_command_line_starts_where_it_should(plant: Plant, me: Stranger) -> None:
    batch = me.types("submit", "-", "--task", "summarize", "--watch", stdin="Summarize: bridges.\n").out.strip()
    assert [purchase["requested_model"] for purchase in plant.simulator.purchases()[-1:]] == [HAIKU]
    assert json.loads(me.types("results", batch).out)["fallback_depth"] == 0


def test_after_the_timeout_watching_ends_with_124_and_the_batch_goes_on(plant: Plant, me: Stranger) -> None:
    plant.simulator.set_script(SLOW)
    printed = me.types("submit", "-", "--watch", "--timeout-s", "0.5", stdin="Why?\n", expect=124)
    batch = printed.out.strip()
    assert "stepdown: 0 of 1 jobs ended in 0.5 s; the batch goes on" in printed.err
    assert json.loads(me.types("status", batch, "--json").out)["cancelled"] == 0
    unfinished = me.types("results", batch)
    assert re.fullmatch(
        r"1 of 1 jobs have not ended yet \(1 (queued|running)\): the column state tells which\n", unfinished.err
    )
    assert json.loads(unfinished.out)["state"] in {"queued", "running"}
    me.types("cancel", batch)


def test_ctrl_c_while_watching_detaches_with_130_and_cancels_nothing(plant: Plant, me: Stranger) -> None:
    plant.simulator.set_script(SLOW)
    batch = me.types("submit", "-", stdin="Why?\n").out.strip()
    code, seen = interrupted(me, "watch", batch)
    assert code == 130
    assert seen.endswith(f"\r\ndetached; the batch goes on: stepdown watch {batch}\r\n")
    assert re.search(r"\r\x1b\[2K  ·{32}  0/1  0 failed", seen)
    status = json.loads(me.types("status", batch, "--json").out)
    assert (status["cancelled"], status["queued"] + status["running"]) == (0, 1)
    me.types("cancel", batch)


def interrupted(me: Stranger, *arguments: str) -> tuple[int, str]:
    """Run a command in a terminal of its own, and press Ctrl-C once it shows progress."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        me.command(*arguments), cwd=me.folder, env=dict(me.environment), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        seen = b""
        while b"\x1b[2K" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
        return code, (seen + rest(ours)).decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def rest(terminal: int) -> bytes:
    """Read what is left; a terminal whose other end is closed says so with an error."""
    seen = b""
    try:
        while part := os.read(terminal, 4096):
            seen += part
    except OSError:
        pass
    return seen


def test_a_batch_accepted_while_nobody_looked_is_there_later(plant: Plant, me: Stranger) -> None:
    batch = me.types("submit", "-", "--name", "later", stdin="Why?\n").out.strip()
    eventually(lambda: plant.producer.batch(batch).progress().is_finished, within_s=30, because="it is answered")
    assert "1/1  0 failed" in me.types("watch", "later").err
