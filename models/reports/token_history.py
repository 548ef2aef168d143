"""What the ledger teaches about prompts not bought yet: characters a token, and how many tokens are written."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from models.ledger.database import opened_if_there
from models.reports.job_history import MOST_ANSWERS, AnswerLength, JobHistory

LEAST = 20  # attempts below which a figure is taken for chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A ratio: what to expect, and between which bounds nine answers of ten lay. No attempts: it was not learned."""

    expected: Decimal
    low: Decimal
    high: Decimal
    attempts: int = 0


CHARACTERS_A_TOKEN = Spread(expected=Decimal("3.5"), low=Decimal("2.5"), high=Decimal(5))  # English: 3.5 to 4
_WRITTEN_SHARE = Decimal("0.5")  # of max_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long answers were: tokens written, and the max_tokens of each; `is_own`: of the task in question."""

    each: Sequence[tuple[int, int]] = ()
    is_own: bool = True

    def under(self, max_tokens: int) -> Spread:
        """Tell how many tokens to expect under another max_tokens, and between which bounds nine of ten lie.

        An answer that was cut would have gone on as far as that lets it. From other tasks only what to expect is
        learned; without any answer half of max_tokens is expected.
        """
        bound = Decimal(max_tokens)
        if not self.each:
            return Spread(expected=_WRITTEN_SHARE * bound, low=Decimal(0), high=bound)
        found = _spread([(max_tokens if cut <= written else min(written, max_tokens), 1) for written, cut in self.each])
        return found if self.is_own else replace(found, low=Decimal(0), high=bound)

    def as_written(self) -> Spread | None:
        """Tell how many tokens they had; None where there are none."""
        return _spread([(written, 1) for written, _ in self.each]) if self.each else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What the newest answers teach: ratios by model, lengths by task, and the lengths of all of them."""

    characters_a_token: Mapping[str, Spread] = field(default_factory=dict)
    task_lengths: Mapping[str, Lengths] = field(default_factory=dict)
    lengths: Lengths = Lengths()
    _known: dict[tuple[str | None, int], Spread] = field(default_factory=dict, compare=False, repr=False)

    def ratio(self, model: str) -> Spread:
        """Tell how many characters of a prompt are one token of `model`."""
        return self.characters_a_token.get(model, CHARACTERS_A_TOKEN)

    def lengths_of(self, task: str | None) -> Lengths:
        """Give the lengths of a task's answers, or of all."""
        return self.task_lengths.get(task or "", self.lengths)

    def output_tokens(self, task: str | None, max_tokens: int) -> Spread:
        """Tell how many tokens an answer has."""
        if (task, max_tokens) not in self._known:
            self._known[task, max_tokens] = self.lengths_of(task).under(max_tokens)
        return self._known[task, max_tokens]


def learn(url: str) -> Learned:
    """Learn from the newest answers of the ledger at `url`. Returns an empty Learned if the file does not exist.

    Raises LedgerError if the ledger cannot be reached, or is of another version.
    """
    with opened_if_there(url) as engine:
        return Learned() if engine is None else _learned(JobHistory(engine).answer_lengths())


def _learned(samples: Sequence[AnswerLength]) -> Learned:
    by_model, by_task = defaultdict[str, list[AnswerLength]](list), defaultdict[str, list[AnswerLength]](list)
    for sample in samples:
        by_task[sample.task].append(sample)
        if sample.size.is_text and sample.size.characters:
            by_model[sample.model].append(sample)
    return Learned(
        characters_a_token={
            model: _ratio(some[:MOST_ANSWERS]) for model, some in by_model.items() if len(some) >= LEAST
        },
        task_lengths={task: _lengths(some) for task, some in by_task.items() if task and len(some) >= LEAST},
        lengths=Lengths() if len(samples) < LEAST else _lengths(samples, is_own=False),
    )


def _ratio(samples: Sequence[AnswerLength]) -> Spread:
    return _spread([(sample.size.characters, sample.prompt_tokens) for sample in samples])


def _lengths(samples: Sequence[AnswerLength], *, is_own: bool = True) -> Lengths:
    return Lengths(each=tuple((one.output_tokens, one.max_tokens) for one in samples[:MOST_ANSWERS]), is_own=is_own)


def _spread(pairs: Sequence[tuple[int, int]]) -> Spread:
    each = sorted(Decimal(over) / under for over, under in pairs)
    last = len(each) - 1
    total = Decimal(sum(over for over, _ in pairs)) / sum(under for _, under in pairs)
    return Spread(expected=total, low=each[last * 5 // 100], high=each[-(-last * 95 // 100)], attempts=len(each))
