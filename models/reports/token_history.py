"""Token figures for prompts not bought yet: characters a token, and tokens of an answer, from the newest answers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from models.database.engine import opened_if_there
from models.reports.job_history import MOST_ANSWERS, AnswerLength, BatchTimes, JobHistory

LEAST = 20  # attempts below which a figure may be chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """An expected figure, with the bounds of nine answers of ten. Without attempts the figure is not learned."""

    expected: Decimal
    low: Decimal
    high: Decimal
    attempts: int = 0


CHARACTERS_A_TOKEN = Spread(expected=Decimal("3.5"), low=Decimal("2.5"), high=Decimal(5))  # English: 3.5 to 4
_WRITTEN_SHARE = Decimal("0.5")  # of max_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of answers: tokens written and max_tokens of each. `is_own`: all are of the task kind in question."""

    each: Sequence[tuple[int, int]] = ()
    is_own: bool = True

    def under(self, max_tokens: int) -> Spread:
        """Return the expected tokens under another max_tokens, with the bounds of nine answers of ten.

        A truncated answer is taken to fill the other max_tokens. Other task kinds teach the expected figure, and no
        bounds. Without any answer the expected figure is half of max_tokens.
        """
        bound = Decimal(max_tokens)
        if not self.each:
            return Spread(expected=_WRITTEN_SHARE * bound, low=Decimal(0), high=bound)
        found = _spread([(max_tokens if cut <= written else min(written, max_tokens), 1) for written, cut in self.each])
        return found if self.is_own else replace(found, low=Decimal(0), high=bound)

    def as_written(self) -> Spread | None:
        """Return the tokens as written. Returns None without answers."""
        return _spread([(written, 1) for written, _ in self.each]) if self.each else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHistory:
    """The lessons of the newest answers: ratios by model, lengths by task kind, and the lengths of all answers.

    `batch_times` are the times of message batches by model.
    """

    characters_a_token: Mapping[str, Spread] = field(default_factory=dict)
    task_lengths: Mapping[str, Lengths] = field(default_factory=dict)
    lengths: Lengths = Lengths()
    batch_times: Mapping[str, BatchTimes] = field(default_factory=dict)
    _known: dict[tuple[str | None, int], Spread] = field(default_factory=dict, compare=False, repr=False)

    def ratio(self, model: str) -> Spread:
        """Return the characters of a prompt that are one token of `model`."""
        return self.characters_a_token.get(model, CHARACTERS_A_TOKEN)

    def lengths_of(self, task: str | None) -> Lengths:
        """Return the lengths of a task kind's answers, or of all answers if the kind has too few."""
        return self.task_lengths.get(task or "", self.lengths)

    def output_tokens(self, task: str | None, max_tokens: int) -> Spread:
        """Return the tokens of an answer of a task kind."""
        if (task, max_tokens) not in self._known:
            self._known[task, max_tokens] = self.lengths_of(task).under(max_tokens)
        return self._known[task, max_tokens]


def learn(url: str) -> TokenHistory:
    """Learn from the newest answers of the ledger at `url`. Returns an empty history if the file does not exist.

    Raises LedgerError if the ledger cannot be reached, or is of another version.
    """
    with opened_if_there(url) as engine:
        if engine is None:
            return TokenHistory()
        history = JobHistory(engine)
        return replace(_learned(history.answer_lengths()), batch_times=history.batch_times())


def _learned(samples: Sequence[AnswerLength]) -> TokenHistory:
    by_model, by_task = defaultdict[str, list[AnswerLength]](list), defaultdict[str, list[AnswerLength]](list)
    for sample in samples:
        by_task[sample.task].append(sample)
        if sample.size.is_text and sample.size.characters:
            by_model[sample.model].append(sample)
    return TokenHistory(
        characters_a_token={
            model: _spread([(one.size.characters, one.prompt_tokens) for one in some[:MOST_ANSWERS]])
            for model, some in by_model.items()
            if len(some) >= LEAST
        },
        task_lengths={task: _lengths(some) for task, some in by_task.items() if task and len(some) >= LEAST},
        lengths=Lengths() if len(samples) < LEAST else _lengths(samples, is_own=False),
    )


def _lengths(samples: Sequence[AnswerLength], *, is_own: bool = True) -> Lengths:
    return Lengths(each=tuple((one.output_tokens, one.max_tokens) for one in samples[:MOST_ANSWERS]), is_own=is_own)


def _spread(pairs: Sequence[tuple[int, int]]) -> Spread:
    each = sorted(Decimal(over) / under for over, under in pairs)
    last = len(each) - 1
    total = Decimal(sum(over for over, _ in pairs)) / sum(under for _, under in pairs)
    return Spread(expected=total, low=each[last * 5 // 100], high=each[-(-last * 95 // 100)], attempts=len(each))
