"""The prompts all sides are given: public-domain texts of tests/examples, each prompt different from all others."""

import csv
from itertools import cycle, islice
from pathlib import Path

from tests.benchmarks.chain.ran import BenchPrompt

_ARTICLES = Path(__file__).parents[3] / "producer" / "simulator" / "texts" / "articles.csv"
_TASKS = ("summarize",) * 16 + ("extract",) * 3 + ("synthesize",)  # 80, 15 and 5 of a hundred
WORDS = {
    "summarize": "Summarize this document in two sentences.",
    "extract": "Extract the name and the year as JSON.",
    "synthesize": "Synthesize these notes into one paragraph.",
}
# Documents are longer than the fields taken out of them, and notes about documents as long as one document.
_CHARACTERS = {"summarize": 4800, "extract": 2400, "synthesize": 4800}


def overload_prompts(count: int) -> list[BenchPrompt]:
    """Make so many summaries of short texts, of 110 to 470 tokens; no task kind, so that each begins at the primary."""
    return [
        BenchPrompt(id=number, task="", text=f"Summarize document {number} in two sentences.\n\n{text}")
        for number, text in enumerate(islice(cycle(_texts()), count))
    ]


def mixed_prompts(count: int) -> list[BenchPrompt]:
    """Make 80 % summaries, 15 % extraction and 5 % synthesis, well mixed."""
    texts = cycle(_texts())
    return [
        BenchPrompt(
            id=number, task=task, text=f"{WORDS[task]} Document {number}.\n\n{_of_length(texts, _CHARACTERS[task])}"
        )
        for number, task in enumerate(islice(cycle(_mixed()), count))
    ]


def _mixed() -> list[str]:
    return [_TASKS[place * 7 % len(_TASKS)] for place in range(len(_TASKS))]


def _of_length(texts: "cycle[str]", characters: int) -> str:
    whole = ""
    while len(whole) < characters:
        whole += next(texts) + "\n\n"
    return whole[:characters]


def _texts() -> list[str]:
    with _ARTICLES.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]
