"""The script language of message batches: `[batches]` has the provider's habits, `[[batch_rules]]` the faults."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from producer.simulator.answer.answers import ANSWERS, Answer
from producer.simulator.answer.fields import (
    FLAG,
    NAME,
    RULE_FIELDS,
    SHARE,
    Field,
    ScriptError,
    check,
    check_order,
    one_of,
    refuse_unknown,
    seconds,
    whole,
)
from producer.simulator.answer.rule import EVERY_MODEL, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

CALLS = ("create", "list", "retrieve", "cancel", "delete", "results")
_DAY_S = 86_400.0
_LINES = ("line_missing", "line_doubled", "line_unknown", "line_bad", "line_cut")

# All faults of a connection and of a gateway, all errors of the API, and faults of a results file.
_ANSWERS: dict[str, Answer] = {
    **{word: answer for word, answer in ANSWERS.items() if answer.is_of_wire or answer.content == "error"},
    "ok": ANSWERS["ok"],
    **{word: Answer(word=word) for word in _LINES},
}
_HABITS: dict[str, Field] = {  # of one message batch; a rule for its create may have its own
    "median_s": seconds(above_zero=True),
    "p95_s": seconds(above_zero=True),
    "takes_s": seconds(),
    "cancel_s": seconds(),
    "expires_s": seconds(above_zero=True),
    "finishes": SHARE,
    "expired": SHARE,
    "never_ends": FLAG,
    "create_lag_s": seconds(),
    "list_lag_s": seconds(),
    "results_lag_s": seconds(),
}
_FACTOR = Field(
    accepts=lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
    right="a number, more than 0",
)
_OFFSET = Field(
    accepts=lambda value: isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _DAY_S,
    right="seconds, less than a day, also below 0",
)
_SETTINGS: dict[str, Field] = {
    **_HABITS,
    "times_faster": _FACTOR,
    "kept_s": seconds(above_zero=True),
    "skew_s": _OFFSET,
    "requests_per_minute": whole(1),
    "queue": whole(1),
    "most_requests": whole(1),
    "most_bytes": whole(1),
    "hits_5m": SHARE,
    "hits_1h": SHARE,
    "results_host": NAME,
}
_WIRE = ("retry_after_s", "retry_after_form", "every_s", "status", "content_type", "body", "headers", "location")
_OF_CREATE = {*_HABITS, "foreign"}
_SELECTORS = {"from_s", "to_s", "share", "times", "prompt_contains", "delay_s"}
_RULE: dict[str, Field] = {
    **{name: RULE_FIELDS[name] for name in (*_WIRE, *_SELECTORS)},
    **_HABITS,
    "call": one_of(*CALLS),
    "from_batch": whole(1),
    "to_batch": whole(1),
    "times_per_batch": whole(1),
    "accepted": FLAG,
    "foreign": whole(1),
    "line_bytes": whole(1),
}
_FOR_ANY = {*_SELECTORS, "call", "from_batch", "to_batch", "times_per_batch", "accepted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """The habits of the provider, in seconds that pass `times_faster`.

    A message batch without `takes_s` takes a time around `median_s`; one of twenty takes longer than `p95_s`.
    `finishes` is the share of the items left that end in spite of a cancel, `expired` the share that expires. The
    provider's wall clock is `skew_s` ahead.
    """

    takes_s: float | None = None
    cancel_s: float = 60.0
    expires_s: float = _DAY_S
    finishes: float = 0.0
    expired: float = 0.0
    never_ends: bool = False
    create_lag_s: float = 0.0
    list_lag_s: float = 0.0
    results_lag_s: float = 0.0
    median_s: float = 480.0
    p95_s: float = 4_200.0
    times_faster: float = 1.0
    kept_s: float = 29 * _DAY_S
    skew_s: float = 0.0
    requests_per_minute: int | None = None
    queue: int = 500_000
    most_requests: int = 100_000
    most_bytes: int = 256 * 1024 * 1024
    hits_5m: float = 0.3
    hits_1h: float = 0.7
    results_host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRule:
    """A rule for calls about message batches: the calls, the reply, and the course of a batch that is created.

    `accepted`: the call is carried out, whatever the reply says. `batch` numbers count the valid creates from 1.
    `foreign` message batches of the same size come from another client. `habits` replace those of the settings.
    """

    number: int
    reply: Rule
    call: str = ""
    from_batch: int = 1
    to_batch: int | None = None
    from_s: float = 0.0
    to_s: float | None = None
    share: float = 1.0
    times: int | None = None
    times_per_batch: int | None = None
    prompt_contains: str = ""
    delay_s: float = 0.0
    accepted: bool = True
    foreign: int = 0
    line_bytes: int = 0
    habits: Mapping[str, float | bool] = field(default_factory=dict)

    def settled(self, settings: BatchSettings) -> BatchSettings:
        """Return the settings for a message batch that this rule created."""
        return replace(settings, **self.habits)  # type: ignore[arg-type]  # checked


def batch_settings(table: object, where: str) -> BatchSettings:
    """Read the table `[batches]`."""
    if not isinstance(table, dict):
        raise ScriptError(f"{where}: right is a table with {', '.join(sorted(_SETTINGS))}")
    refuse_unknown(table, _SETTINGS, where)
    for name, value in table.items():
        check(where, name, value, _SETTINGS)
    settings = BatchSettings(**table)
    if settings.p95_s < settings.median_s:
        raise ScriptError(f"{where}: field 'p95_s': {settings.p95_s} is below median_s; right is the median or more")
    return settings


def batch_rule(table: dict[str, object], number: int, where: str) -> BatchRule:
    """Read a table of `[[batch_rules]]`."""
    answer = _answer(table.get("answer", "ok"), where)
    fields = {name: value for name, value in table.items() if name != "answer"}
    refuse_unknown(fields, _RULE, where)
    for name, value in fields.items():
        check(where, name, value, _RULE)
        _check_use(where, name, answer, fields.get("call"))
    if answer.word in _LINES and fields.get("call") != "results":
        raise ScriptError(f"{where}: field 'answer': '{answer.word}' is for call = 'results'")
    if "status" in answer.needs - fields.keys():
        raise ScriptError(f"{where}: field 'status': missing; answer '{answer.word}' needs {_RULE['status'].right}")
    check_order(where, fields, ("from_batch", "to_batch"), ("from_s", "to_s"))
    wire = {name: fields.pop(name) for name in _WIRE if name in fields}
    habits = {name: fields.pop(name) for name in _HABITS if name in fields}
    reply = Rule(number=number, answer=answer, models=EVERY_MODEL, **wire)  # type: ignore[arg-type]  # checked
    fields.setdefault("accepted", answer.content == "message" or answer.billed)
    return BatchRule(number=number, reply=reply, habits=habits, **fields)  # type: ignore[arg-type]  # checked


def _answer(word: object, where: str) -> Answer:
    word = str(word) if isinstance(word, int) else word
    if not isinstance(word, str) or word not in _ANSWERS:
        raise ScriptError(f"{where}: field 'answer': {word!r} is unknown; right is one of {', '.join(_ANSWERS)}")
    return _ANSWERS[word]


def _check_use(where: str, name: str, answer: Answer, call: object) -> None:
    """Refuse a field that the call or the answer has no use for."""
    if name in _OF_CREATE and call != "create":
        raise ScriptError(f"{where}: field '{name}': is for call = 'create'")
    if name == "line_bytes" and call != "results":
        raise ScriptError(f"{where}: field '{name}': is for call = 'results'")
    if name in _WIRE and name not in answer.needs | answer.takes:
        right = ", ".join(sorted((answer.needs | answer.takes) & {*_WIRE})) or "none of the fields of a reply"
        raise ScriptError(f"{where}: field '{name}': answer '{answer.word}' has no use for it; it takes {right}")
