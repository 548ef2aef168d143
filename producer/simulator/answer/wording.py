"""Answers that read like summaries, made of the prompt's own sentences."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from producer.simulator.answer.draw import Draw

_LOOKED_AT = 4_000  # characters of a prompt that are searched for sentences
_LOOKED_AT_SENTENCES = 40
_END = re.compile(r"[.!?][\"')\]]*\s+|\n+")
_LABEL = re.compile(r"^\[[^\]]*\]\s*")  # [common], [from the Latin]
_INSTRUCTION = re.compile(
    r"^\s*(please\s+)?(summari[sz]e|sum up|synthesi[sz]e|condense|translate|extract|write|give|answer|explain|"
    r"in (one|two|three|a few) sentences?|you are|title:|article:|text:|document:|summary:)",
    re.IGNORECASE,
)
_OPENINGS = ("", "", "In short: ", "The main point: ", "Summary: ")
_MOST_SENTENCES = 3
_CHOSEN_FROM = 8
_LEAST_WORDS = 5
_LONGEST_SENTENCE = 400


def summary_of(prompt: str, draw: Draw) -> str:
    """Pick one to three sentences of the prompt, in their order, always with the first."""
    sentences = _sentences(prompt[:_LOOKED_AT])
    if not sentences:
        words = " ".join(prompt[:200].split())
        return f"There is little to say about it: {words}" if words else "There is nothing to summarize."
    wanted = min(len(sentences), draw.pick("sentences", 1, _MOST_SENTENCES))
    rest = range(1, len(sentences))
    chosen = sorted(rest, key=lambda position: draw.share(f"sentence {position}"))[: wanted - 1]
    opening = _OPENINGS[draw.pick("opening", 0, len(_OPENINGS) - 1)]
    return opening + " ".join(sentences[position] for position in (0, *sorted(chosen)))


def _sentences(text: str) -> list[str]:
    """Return the first sentences with content: no headings, no instructions."""
    found: list[str] = []
    start = 0
    ends = [match.end() for match in islice(_END.finditer(text), _LOOKED_AT_SENTENCES)]
    for end in (*ends, len(text)):
        sentence = _LABEL.sub("", " ".join(text[start:end].split()))[:_LONGEST_SENTENCE]
        start = end
        if len(sentence.split()) >= _LEAST_WORDS and sentence[-1] != ":" and not _INSTRUCTION.match(sentence):
            found.append(sentence)
        if len(found) == _CHOSEN_FROM:
            break
    return found
