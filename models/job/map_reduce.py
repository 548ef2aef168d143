"""The parts of a document that is mapped and synthesized, and the steps made of their answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.sax.saxutils import escape, quoteattr

MISSING_PARTS = "missing_parts"  # the column of an answer that names its missing parts
_MOST_NAMED = 50  # so that the prompt of a step with many failures stays readable for a model
_ASK = "No answer could be had for what is missing. Say in yours that it is not covered, and name it."


class OnFailedPart(StrEnum):
    """The choice of a step whose part has no answer."""

    NAME = "name"  # the step asks about the other parts, and names the missing parts to the model
    STOP = "stop"  # the step fails


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStep:
    """A job's place in a plan. At level 0 the job is a part of a document: `span` is its range of characters.

    Above level 0 a job waits for its `parts`, ids of other jobs; their answers go between its `pieces`. `document` is
    None if the job is about several documents. `label` is the job's name in the step above.
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
    """A part that has no answer, and the outcome of its job, None if a step above the part failed."""

    label: str
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedSteps:
    """The number of steps asked now, and of steps that failed for a part without an answer."""

    asked: int
    stopped: int


def question(pieces: Sequence[str], summaries: Sequence[PartAnswer], missing: Sequence[MissingPart]) -> str:
    r"""Return a step's prompt: the answers of its parts and the names of missing parts, between the pieces.

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
    """Return the first 50 missing parts, each with its outcome.

    >>> named([MissingPart(label="a", outcome="refused"), MissingPart(label="b", outcome=None)])
    ['a (refused)', 'b']
    """
    summaries = [one.label if one.outcome is None else f"{one.label} ({one.outcome})" for one in missing[:_MOST_NAMED]]
    return summaries if len(summaries) == len(missing) else [*summaries, f"and {len(missing) - len(summaries)} more"]


def _sendable(text: str) -> str:
    """Return an answer without half surrogate pairs, which cannot be sent, and without NULs, which cannot be kept."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
