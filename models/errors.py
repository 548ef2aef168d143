"""Errors that a caller sees. Each error names the problem, its place and the fix."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Self

NOTHING_QUEUED = "nothing was queued"
_MOST_TOLD = 20


class StepdownError(Exception):
    """Any refusal or failure of Stepdown, with a text for the person who asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One wrong setting: its variable, its value (masked if secret) and the fix."""

    variable: str
    value: str
    fix: str

    def __str__(self) -> str:
        return f"{self.variable}={self.value}: {self.fix}"


class SettingsError(StepdownError):
    """The environment or .env holds settings that cannot be used. The error names all of them at once."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"settings: {mistake}" for mistake in self.mistakes))


class InputError(StepdownError):
    """A prompt cannot be accepted. The error names the source, the line (from 1), the field and the fix."""

    def __init__(self, problem: str, *, source: str, line: int | None = None, field: str | None = None) -> None:
        place = source if line is None else f"{source}:{line}"
        super().__init__(f"{place}: {problem}" if field is None else f"{place}: {field}: {problem}")


class InputMistakes(StepdownError):  # noqa: N818 - several errors
    """Lines of a file that cannot be accepted, one below the other; no line of the file was accepted."""

    def __init__(self, mistakes: Sequence[InputError], *, end: str = NOTHING_QUEUED, beyond: int = 0) -> None:
        self.mistakes = tuple(mistakes)
        lines = [str(mistake) for mistake in mistakes[:_MOST_TOLD]]
        untold = max(0, len(mistakes) - _MOST_TOLD) + beyond
        super().__init__("\n".join([*lines, *([f"and {untold} more"] if untold else []), end]))

    @classmethod
    def first(cls, mistakes: Iterable[InputError], *, end: str = NOTHING_QUEUED) -> Self | None:
        """Keep the first mistakes, which are listed, and count the others. Returns None if there is no mistake."""
        left = iter(mistakes)
        kept = list(islice(left, _MOST_TOLD))
        return cls(kept, end=end, beyond=sum(1 for _ in left)) if kept else None


class UnpricedModelError(StepdownError):
    """A model of the chain has no price, so its cost would be unknown."""

    def __init__(self, models: Sequence[str]) -> None:
        self.models = tuple(models)
        names = ", ".join(self.models)
        super().__init__(
            f"no price for {names}: add it to MODEL_COSTS as model:input:output in USD per million tokens, "
            "or by `stepdown prices set`, or pass --allow-unpriced to run with unknown cost",
        )


class KeyConflictError(StepdownError):
    """The idempotency key belongs to a batch with other prompts."""

    def __init__(self, key: str, batch_id: str) -> None:
        super().__init__(
            f"key {key!r} was used for batch {batch_id} with other prompts or settings: "
            "submit the same content again, or choose another key",
        )


class NotFoundError(StepdownError):
    """No row, or more than one, begins with the given id."""


class BrokerError(StepdownError):
    """The broker cannot be reached, or does not fit the queue."""


class ApiError(StepdownError):
    """The provider's API cannot be reached, or its reply lacks the answer to the question."""


class LedgerError(StepdownError):
    """The ledger cannot be reached, or its schema is not this version's."""


class LedgerGoneError(LedgerError):
    """The open file of a SQLite ledger was removed or replaced."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"ledger {path}: the file was removed or replaced while this process had it open; nothing more is written: "
            "put the file back, or name another in DATABASE_URL, and start again"
        )


class TooDeepError(StepdownError):
    """A call would lie deeper in its tree of calls than MAX_DEPTH. No model was asked and nothing written.

    `path` leads from the top of the tree to the call, by ids, each with its task if any.
    """

    def __init__(self, depth: int, *, most: int, path: Sequence[str]) -> None:
        self.depth = depth
        self.path = tuple(path)
        super().__init__(f"depth {depth} is more than MAX_DEPTH={most}; nothing was asked: {' > '.join(self.path)}")


class TreeBudgetError(StepdownError):
    """A call was not made, since its whole tree of calls could pass its cap, TREE_CAP_USD; amounts in USD.

    `gone_usd` is spent, with the worst case of calls whose end nobody saw. `reserved_usd` is the worst case of calls in
    flight, `needs_usd` that of this call.
    """

    def __init__(
        self,
        tree: str,
        *,
        job_id: str,
        cap_usd: Decimal,
        gone_usd: Decimal,
        reserved_usd: Decimal,
        needs_usd: Decimal,
    ) -> None:
        self.tree, self.job_id = tree, job_id
        self.cap_usd, self.gone_usd, self.reserved_usd, self.needs_usd = cap_usd, gone_usd, reserved_usd, needs_usd
        needs, cap, gone, held = (f"${usd.normalize():f}" for usd in (needs_usd, cap_usd, gone_usd, reserved_usd))
        super().__init__(
            f"tree {tree}: over budget: this call may cost {needs}, and of the tree's cap of {cap} (TREE_CAP_USD) "
            f"{gone} are spent and {held} reserved by calls in flight (job {job_id})"
        )


class ChainExhaustedError(StepdownError):
    """Every model the call may use was tried, or no model may be tried now. The text has the last failure."""

    def __init__(self, last_failure: str, *, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no model of the chain answered; the last said: {last_failure} (job {job_id})")


OK, SOME_FAILED, USAGE, MONEY_CAP, UNREACHABLE, UNPRICED, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 124, 130
_EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (ApiError, UNREACHABLE),
    (BrokerError, UNREACHABLE),
    (LedgerError, UNREACHABLE),
    (UnpricedModelError, UNPRICED),
    (StepdownError, USAGE),
    (TimeoutError, TIMED_OUT),
)


def exit_code(error: Exception) -> int:
    """Return the exit code of a process for this error: 1 for a mistake of ours.

    >>> exit_code(BrokerError("away")), exit_code(NotFoundError("none")), exit_code(ValueError("a bug"))
    (4, 2, 1)
    """
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), SOME_FAILED)
