"""The parts of a document that is mapped and synthesized, and the steps made of their answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.sax.saxutils import escape, quoteattr

MISSING_PARTS = "missing_parts"  # the column of an answer that names what it was made without
_MOST_NAMED = 50  # so that a step in which everything failed is still one that a model can read
_ASK = "No answer could be had for what is missing. Say in yours that it is not covered, and name it."


class OnFailedPart(StrEnum):
    """The choice of a step whose part has no answer."""

    NAME = "name"  # the others are asked about, and the model is told what is missing
    STOP = "stop"  # the step fails


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStep:
    """A job's place in a plan; level 0 is a part of a document, whose characters `span` tells.

    Above that a job waits for its `parts`, ids of other jobs; their answers go between its `pieces`. `document` is None
    where it is about several. `label` is what the step above calls it.
    """

    job_id: str
    document: str | None
    level: int
    label: str
    span: tuple[int, int] | None = None
    parts: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    on_failed_part: OnFailedPart = OnFailedPart.NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAnswer:
    """The answer to one part."""

    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPart:
    """A part that has no answer, and the outcome of its job; None where what was made of it failed."""

    label: str
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedSteps:
    """How many steps are asked now, and how many failed since a part of theirs has no answer."""

    asked: int
    stopped: int


def question(pieces: Sequence[str], summaries: Sequence[PartAnswer], missing: Sequence[MissingPart]) -> str:
    r"""Put what the parts said, and the names of those that are missing, in the places between the pieces.

    >>> answers = [PartAnswer(label="a", text="Rain.")]
    >>> print(question(["Merge:\n", ""], answers, [MissingPart(label="b", outcome="refused")]))
    Merge:
    <summary of="a">
    Rain.
    </summary>
    <BLANKLINE>
    <missing>
    b (refused)
    </missing>
    No answer could be had for what is missing. Say in yours that it is not covered, and name it.
    """
    message = [f"<summary of={quoteattr(one.label)}>\n{_sendable(one.text).strip()}\n</summary>" for one in summaries]
    if missing:
        message.append(f"<missing>\n{escape(chr(10).join(named(missing)))}\n</missing>\n{_ASK}")
    return "\n\n".join(message).join(pieces)


def named(missing: Sequence[MissingPart]) -> list[str]:
    """Name what is missing, each with why; the first 50.

    >>> named([MissingPart(label="a", outcome="refused"), MissingPart(label="b", outcome=None)])
    ['a (refused)', 'b']
    """
    summaries = [one.label if one.outcome is None else f"{one.label} ({one.outcome})" for one in missing[:_MOST_NAMED]]
    return summaries if len(summaries) == len(missing) else [*summaries, f"and {len(missing) - len(summaries)} more"]


def _sendable(text: str) -> str:
    """Make an answer fit to be asked about: half a surrogate pair cannot be sent, and a NUL cannot be kept."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
