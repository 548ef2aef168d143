"""`stepdown submit --map`: rows, a text or a folder as documents; what cannot be is told, and nothing queued."""

import json
from pathlib import Path

import pytest

from producer.simulator.process import running_simulator
from tests.support.sites.command_line import KEY, Stranger, settings_for, stranger_in

_CHAPTERS = "tests/examples/chapters.jsonl"
_ASKED = ("--map", "Sum up {title}: {text}", "--reduce", "Merge: {text}")


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Work in a folder with the examples, and no worker."""
    me = stranger_in(tmp_path)
    me.configure(ANTHROPIC_API_KEY=KEY)
    return me


def _ids(me: Stranger, batch: str) -> list[str]:
    return [json.loads(line)["id"] for line in me.types("results", batch).out.splitlines()]


def test_a_file_is_mapped_and_synthesized_and_its_results_tell_their_level(me: Stranger) -> None:
    first = "".join((me.folder / _CHAPTERS).read_text(encoding="utf-8").splitlines(keepends=True)[:3])
    me.write("three.jsonl", first)
    with running_simulator() as simulator:
        me.configure(**settings_for(simulator, TASK_STARTS="summarize:claude-haiku-4-5-20251001"))
        with me.starts("worker", log="worker.log"):
            printed = me.types("submit", "three.jsonl", *_ASKED, "--max-cost", "1", "--watch", "--timeout-s", "50")
    rows = [json.loads(line) for line in me.types("results", printed.out.strip()).out.splitlines()]
    assert [(row["id"], row["level"], row["model"]) for row in rows] == [
        ("chapter-01", "0", "claude-haiku-4-5-20251001"),
        ("chapter-02", "0", "claude-haiku-4-5-20251001"),
        ("chapter-03", "0", "claude-haiku-4-5-20251001"),
        ("synthesis", "1", "claude-opus-4-7"),
    ]
    message = me.types("job", "synthesis").out.replace("\n" + " " * 12, " ")
    assert "made of the answers to chapter-01, chapter-02, chapter-03" in message
    assert "  the last of the 3 answers it is made of was there, or given up\n" in message
    assert rows[0]["title"] == "Pride and Prejudice, chapter 1"
    asked = "SELECT document, level, jobs, unknown_costs FROM v_documents ORDER BY level, document"
    assert me.types("ledger", "sql", asked, "--csv").out.splitlines()[-1].endswith(",1,1,0")


def test_steps_are_told_of_as_what_they_wait_for(me: Stranger) -> None:
    batch = me.types("submit", _CHAPTERS, *_ASKED).out.strip()
    assert "40 queued, 1 waiting of 41" in me.types("status", batch).out
    assert "waits for the answers of other jobs, at most until " in me.types("job", "synthesis").out
    assert me.types("cancel", batch).out == "41 jobs cancelled\n"
    assert me.types("retry", batch).out == "41 jobs queued again\n"


def test_a_text_is_one_document_and_a_folder_one_a_file(me: Stranger) -> None:
    texts = me.folder / "texts"
    texts.mkdir()
    for name in ("b.md", "a.txt", "c.pdf"):
        (texts / name).write_text("# One\n\nIt rained.\n", encoding="utf-8")
    by_file = me.types("submit", "texts/a.txt", "--map", "Sum up: {text}", "--no-synthesis").out.strip()
    by_folder = me.types("submit", "texts", "--map", "Sum up: {text}", "--on-failed-part", "stop").out.strip()
    by_hand = me.types(
        "submit", "-", "--format", "text", "--map", "{text}", "--no-synthesis", stdin="It rained.\n\nOn."
    )
    assert _ids(me, by_file) == ["a"]
    assert _ids(me, by_folder) == ["a", "b", "synthesis"]
    assert _ids(me, by_hand.out.strip()) == ["stdin"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((_CHAPTERS, "--reduce", "Merge: {text}"), "--reduce: is for --map TEMPLATE"),
        ((_CHAPTERS, *_ASKED, "--template", "{text}"), "--template: and --map are both the template; give one"),
        ((_CHAPTERS, "--map", "Sum up {author}: {text}"), "map: names {author}, which 'chapter-01' has not"),
        ((_CHAPTERS, *_ASKED, "--on-failed-part", "skip"), "'skip' should be name or stop"),
    ],
)
def test_what_cannot_be_mapped_is_told_and_nothing_is_queued(
    me: Stranger, arguments: tuple[str, ...], message: str
) -> None:
    assert message in me.types("submit", *arguments, expect=2).err
    assert me.types("ls").out == ""
