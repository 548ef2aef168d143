"""Submitting a file: each format, bad lines, keys; the id alone on stdout, everything else beside it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.reports.jobs import Reports
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import KEY, Ended, Stranger, stranger_in

BAD = '{"prompt": "Why?"}\n{"prompt": ""}\n{"prompt": "How?", "max_tokens": 0}\nnot json\n'
ONE_SYSTEM = {"id": "b", "messages": [{"role": "user", "content": "How?"}], "system": "Be brief.", "max_tokens": 9}
CUSTOM = {"custom_id": "c-1", "params": {"max_tokens": 5, "messages": [{"role": "user", "content": "Who?"}]}}


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Work in a folder with the examples, and no worker."""
    me = stranger_in(tmp_path)
    me.configure(ANTHROPIC_API_KEY=KEY)
    return me


def results(me: Stranger, batch: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in me.types("results", batch).out.splitlines()]


def accepted(printed: Ended) -> str:
    """Read the id, which is all there is on stdout; without a worker a hint beside it says so."""
    noted = [line for line in printed.err.splitlines() if "--separator says another" in line]
    assert printed.err.splitlines()[len(noted)].startswith(
        "accepted and kept, but not sent yet (no broker is running here: start `stepdown worker`"
    )
    assert printed.err.count("\n") == 1 + len(noted)
    assert len(printed.out) == 37
    return printed.out.strip()


def test_a_csv_with_a_template_and_an_id_column(me: Stranger) -> None:
    articles = "producer/simulator/texts/articles.csv"
    printed = me.types("submit", articles, "--template", "Summarize: {title} {text}", "--id-column", "id")
    rows = results(me, accepted(printed))
    assert (len(rows), rows[0]["id"], rows[0]["title"], rows[0]["text"]) == (200, "jargon-0001", "@-party", None)
    assert rows[0]["input_text"]


def test_jsonl_text_and_message_batch_files(me: Stranger) -> None:
    assert len(results(me, accepted(me.types("submit", "producer/simulator/texts/documents.jsonl")))) == 12
    assert len(results(me, accepted(me.types("submit", "tests/examples/message_batch.jsonl")))) == 20
    me.write("a.txt", "Why?\n\nHow?\n")
    assert [row["id"] for row in results(me, accepted(me.types("submit", "a.txt")))] == ["1", "2"]


@pytest.mark.parametrize(
    ("stdin", "options", "ids"),
    [
        ("Why?\nHow?\n", [], ["1", "2"]),
        (f'{{"id": "a", "prompt": "Why?"}}\n{json.dumps(ONE_SYSTEM)}\n', [], ["a", "b"]),
        (f"{json.dumps(CUSTOM)}\n", [], ["c-1"]),
        ("key;word\n7;peace\n", ["--format", "csv", "--template", "Why {word}?", "--id-column", "key"], ["7"]),
    ],
)
def test_stdin_is_told_by_its_first_line_or_by_format(
    me: Stranger, stdin: str, options: list[str], ids: list[str]
) -> None:
    batch = accepted(me.types("submit", "-", *options, stdin=stdin))
    assert [row["id"] for row in results(me, batch)] == ids


def test_a_bad_line_stops_everything_and_every_bad_line_is_told(me: Stranger) -> None:
    me.write("bad.jsonl", BAD)
    printed = me.types("submit", "bad.jsonl", expect=2)
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "stepdown: bad.jsonl:2: prompt: '' should be text with at least one visible character",
        "bad.jsonl:3: max_tokens: 0 should be a whole number, 1 or more",
        "bad.jsonl:4: is not JSON: Expecting value at character 1; write one object a line",
        "nothing was queued",
    ]
    assert me.types("ls").out == ""


def test_bad_lines_may_be_left_out_and_are_listed(me: Stranger) -> None:
    me.write("bad.jsonl", BAD)
    printed = me.types("submit", "bad.jsonl", "--skip-bad")
    left_out = [line for line in printed.err.splitlines() if line.startswith("left out: bad.jsonl:")]
    assert [line.split(":")[2] for line in left_out] == ["2", "3", "4"]
    assert len(results(me, printed.out.strip())) == 1


def test_lines_whose_models_the_chain_has_not_are_bad_lines(me: Stranger) -> None:
    lines = ['{"prompt": "a", "start": "huge"}', "", '{"prompt": "b"}', '{"prompt": "c", "floor": "tiny"}']
    path = me.write("placed.jsonl", "\n".join(lines))
    printed = me.types("submit", path, expect=2).err.splitlines()
    assert [line.partition(" is not in")[0] for line in printed[:2]] == [
        f"stepdown: {path}:1: start: 'huge'",
        f"{path}:4: floor: 'tiny'",
    ]
    assert printed[2:] == ["nothing was queued"]
    assert json.loads(me.types("status", me.types("submit", path, "--skip-bad").out.strip(), "--json").out)["jobs"] == 1


def test_a_file_of_nothing_but_bad_lines_is_refused_even_then(me: Stranger) -> None:
    me.write("bad.jsonl", '{"prompt": ""}\n')
    printed = me.types("submit", "bad.jsonl", "--skip-bad", expect=2)
    assert "bad.jsonl:1: prompt: " in printed.err
    assert me.types("ls").out == ""


def test_the_same_file_under_the_same_key_is_the_same_batch(me: Stranger) -> None:
    me.write("a.txt", "Why?\n")
    first = me.types("submit", "a.txt", "--key", "news/1", "--name", "news").out
    again = me.types("submit", "a.txt", "--key", "news/1", "--name", "news")
    assert again.out == first
    assert again.err == "the same prompts were submitted under 'news/1' before: nothing is bought again\n"
    me.write("a.txt", "How?\n")
    printed = me.types("submit", "a.txt", "--key", "news/1", expect=2)
    assert f"key 'news/1' was used for batch {first.strip()} with other prompts or settings" in printed.err
    assert len(me.types("ls", "--jsonl").out.splitlines()) == 1


def test_where_a_batch_is_can_be_read_by_people_and_programs(me: Stranger) -> None:
    me.write("a.txt", "Why?\nHow?\n")
    batch = me.types("submit", "a.txt", "--name", "news", "--tag", "team=media", "--task", "summarize").out.strip()
    _, line, held = me.types("status", "news").out.splitlines()
    assert line.startswith(f"{batch}  news  20")
    assert line.endswith("  $0.00  2 queued of 2")
    assert held == "  2 are queued for claude-opus-4-7 and not sent yet: the dispatcher tops the queue up"
    status = json.loads(me.types("status", batch[:30], "--json").out)
    listed = json.loads(me.types("ls", "--jsonl").out)
    assert {name: status[name] for name in listed} == listed  # and what its jobs wait for
    assert (status["batch"], status["jobs"], status["queued"], status["cost_usd"]) == (batch, 2, 2, "0")
    jobs = [json.loads(line) for line in me.types("show", batch, "--jsonl").out.splitlines()]
    assert [(job["id"], job["state"], job["cost_usd"]) for job in jobs] == [
        ("1", "queued", "0.000000000"),
        ("2", "queued", "0.000000000"),
    ]
    story = json.loads(me.types("job", jobs[1]["job"], "--json").out)
    assert (story["prompt_id"], story["state"], story["attempts"]) == ("2", "queued", [])
    assert "How?" not in json.dumps(story)


def test_batches_are_listed_the_newest_first_and_a_beginning_must_mean_one(me: Stranger) -> None:
    made = [me.types("submit", "-", stdin=f"{number}\n").out.strip() for number in range(3)]
    assert [line.split()[0] for line in me.types("ls").out.splitlines()] == ["batch", *made[::-1]]
    assert [line.split()[0] for line in me.types("ls", "--limit", "1").out.splitlines()] == ["batch", made[2]]
    assert "more than one batch is called or begins with '0'" in me.types("status", "0", expect=2).err


def test_what_is_cancelled_is_over(me: Stranger) -> None:
    batch = me.types("submit", "-", stdin="Why?\nHow?\n").out.strip()
    assert me.types("cancel", batch[:-1]).out == "2 jobs cancelled\n"
    assert me.types("cancel", batch).out == "0 jobs cancelled\n"
    printed = me.types("watch", batch, expect=1)
    assert printed.out == ""
    assert "2/2  0 failed" in printed.err


def _rows(me: Stranger, batch: str) -> list[dict[str, Any]]:
    with opened(f"sqlite:///{me.folder}/.stepdown/ledger.db") as engine:
        reports = Reports(engine)
        return [reports.job(answer.job_id) for answer in reports.answers(batch)]


def test_half_price_by_a_time_waits_for_a_message_batch_until_it_must_go_live(me: Stranger) -> None:
    by = (datetime.now(UTC) + timedelta(hours=5)).replace(microsecond=0)
    me.write("a.txt", "Why?\nHow?\n")
    batch = me.types("submit", "a.txt", "--half-price", "--by", by.isoformat()).out.strip()
    rows = _rows(me, batch)
    assert {(row["state"], row["outcome"], row["lane"]) for row in rows} == {("waiting", "half_price", "half_price")}
    assert all(abs(row["deadline_at"] - by) < timedelta(seconds=60) for row in rows)
    assert all(row["deadline_at"] - row["due_at"] == timedelta(seconds=900) for row in rows)
    batch = me.types("submit", "a.txt", "--by", "06:00").out.strip()
    assert {(row["state"], row["lane"]) for row in _rows(me, batch)} == {("queued", None)}
    assert all(timedelta(0) < row["deadline_at"] - row["created_at"] <= timedelta(days=1) for row in _rows(me, batch))


def test_steps_of_documents_at_half_price_wait_for_their_parts(me: Stranger) -> None:
    me.write("a.txt", "Ten harbours were dredged.")
    me.write("b.txt", "Two bridges were closed.")
    batch = me.types("submit", ".", "--map", "Sum up: {text}", "--half-price").out.strip()
    assert [row["outcome"] for row in _rows(me, batch)] == ["half_price", "half_price", "parts"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "noon"], "options: --by: 'noon' should be a time such as 06:00, 2026-12-01T06:00 or"),
        (["--by", "2020-01-01T06:00"], "options: --by: 2020-01-01T06:00 is past; give a time to come"),
        (["--by", "06:00", "--deadline", "2h"], "options: --by, --deadline: are both the deadline; give one"),
        (["--urgent", "--half-price"], "submit: --urgent, --half-price: an urgent job never waits for a message batch"),
    ],
)
def test_a_wrong_time_or_two_lanes_are_refused_by_their_options(me: Stranger, options: list[str], message: str) -> None:
    me.write("a.txt", "Why?\n")
    printed = me.types("submit", "a.txt", *options, expect=2)
    assert (message in printed.err, printed.out) == (True, "")
    assert me.types("ls").out == ""
