"""The chain: ordered models, the start of each task kind, and the next rung."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from models.errors import Mistake, SettingsError
from models.rung_name import endpoint_of, model_of, named_at

_MODEL_NAME = re.compile(r"([a-z][a-z0-9-]{0,31}/)?[A-Za-z0-9][A-Za-z0-9._@-]*")
_MOST_PER_MINUTE = 10_000_000
_AUTO = "auto"  # in the place of a model: the start is learned
_DATE = re.compile(r"-\d{8}$")
_VERSION = re.compile(r"claude-(opus|sonnet)-4-([5-8])(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Ordered models: rung 0 is the primary, the last rung the cheapest.

    `starts` are the rungs of task kinds. The start of a kind in `autos` is learned; until then `starts` holds. `groups`
    names the limit group of each model that has not the usual group. `requests_per_minute` holds the stated limits of
    groups.
    """

    models: tuple[str, ...]
    starts: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    autos: frozenset[str] = frozenset()
    requests_per_minute: Mapping[str, int] = field(default_factory=dict)

    def span(self, *, task: str | None = None, start: int | None = None) -> "RungRange":
        """Return the rungs of a job: from its own start, else its task's, else the primary, within the whole chain."""
        rung = self.starts.get(task or "", 0) if start is None else start
        return RungRange(start=rung, floor=len(self.models) - 1, ceiling=0)

    @property
    def rungs_by_endpoint(self) -> dict[str, int]:
        """Count the models at each endpoint. Empty if the chain has one endpoint."""
        counts = Counter(map(endpoint_of, self.models))
        return dict(counts) if len(counts) > 1 else {}

    def group_of(self, model: str) -> str:
        """Return the limit group of a model."""
        return self.groups.get(model) or limit_group(model)


@dataclass(frozen=True, slots=True, kw_only=True)
class RungRange:
    """The rungs one job may use, all counted from 0: ceiling <= start <= floor."""

    start: int
    floor: int
    ceiling: int

    def available(self, given_up: Collection[int]) -> tuple[int, ...]:
        """Return the rungs left, in the order of availability: down to the floor, then up to the ceiling.

        >>> RungRange(start=1, floor=2, ceiling=0).available({1})
        (2, 0)
        """
        order = (*range(self.start, self.floor + 1), *range(self.start - 1, self.ceiling - 1, -1))
        return tuple(rung for rung in order if rung not in given_up)

    def above(self, rung: int, given_up: Collection[int]) -> tuple[int, ...]:
        """Return the better rungs left, the nearest first.

        >>> RungRange(start=2, floor=2, ceiling=0).above(2, {2})
        (1, 0)
        """
        return tuple(better for better in range(rung - 1, self.ceiling - 1, -1) if better not in given_up)

    def clamped(self, rungs: int) -> "RungRange":
        """Return a span of a longer chain, fitted into a chain of `rungs` models."""
        last = rungs - 1
        return RungRange(start=min(self.start, last), floor=min(self.floor, last), ceiling=min(self.ceiling, last))


def limit_group(model: str) -> str:
    """Return the usual limit group of a model.

    Opus 4.5 to 4.8 share one group, Sonnet 4.5 and 4.6 another. Every other model has its own. Endpoints share none.
    """
    match = _VERSION.match(model_of(model))
    if match is None or (match[1] == "sonnet" and match[2] in "78"):
        return model
    return named_at(endpoint_of(model), f"claude-{match[1]}-4")


def short_name(model: str) -> str:
    """Return a model's everyday name, without maker and date.

    >>> short_name("claude-haiku-4-5-20251001")
    'haiku-4-5'
    >>> short_name("bedrock/claude-opus-4-7")
    'bedrock/opus-4-7'
    """
    return named_at(endpoint_of(model), _DATE.sub("", model_of(model).removeprefix("claude-")))


def called_in(models: Sequence[str], name: str) -> str | None:
    """Return the model with this name, dated or not; another date is another model. Returns None if no model matches.

    >>> called_in(("claude-opus-4-7", "claude-haiku-4-5-20251001"), "claude-haiku-4-5")
    'claude-haiku-4-5-20251001'
    """
    if name in models:
        return name
    alike = [known for known in models if name in {known, _DATE.sub("", known)} or _DATE.sub("", name) == known]
    return alike[0] if len(alike) == 1 else None


def parse_chain(text: str) -> tuple[str, ...]:
    """Read MODEL_CHAIN: models by comma, the primary first; `endpoint/model` is a model at another endpoint."""
    models = tuple(name.strip() for name in text.split(","))
    if not any(models):
        raise _wrong("MODEL_CHAIN", text, "name at least one model, primary first, by comma")
    for name in models:
        if not _MODEL_NAME.fullmatch(name):
            raise _wrong("MODEL_CHAIN", text, f"{name!r} is not a model name; write model,model,... primary first")
        if models.count(name) > 1:
            raise _wrong("MODEL_CHAIN", text, f"{name} is named twice; each model has one rung")
    return models


def parse_groups(text: str, models: tuple[str, ...]) -> dict[str, str]:
    """Read LIMIT_GROUPS: model:group by comma. Returns the group of each named model."""
    groups: dict[str, str] = {}
    for model, group in _pairs(text):
        if not model or not _MODEL_NAME.fullmatch(group):
            raise _wrong(
                "LIMIT_GROUPS", text, f"{model}:{group} should be model:group, a word for those that share limits"
            )
        if model not in models:
            raise _wrong("LIMIT_GROUPS", text, f"{model} is not in MODEL_CHAIN ({', '.join(models)})")
        if model in groups:
            raise _wrong("LIMIT_GROUPS", text, f"{model} is named twice")
        groups[model] = group
    return groups


def parse_requests_per_minute(text: str, chain: Chain) -> dict[str, int]:
    """Read REQUESTS_PER_MINUTE: model:number by comma. Returns the limit of each named model's group.

    >>> parse_requests_per_minute("claude-opus-4-7:4000", Chain(models=("claude-opus-4-7",)))
    {'claude-opus-4': 4000}
    """
    limits: dict[str, int] = {}
    for model, number in _pairs(text):
        if model not in chain.models:
            known = ", ".join(chain.models)
            raise _wrong("REQUESTS_PER_MINUTE", text, f"{model or '(empty)'} is not in MODEL_CHAIN ({known})")
        if not (number.isdecimal() and 0 < int(number) < _MOST_PER_MINUTE):
            fix = f"{model}:{number} should be model:number, the requests a minute of your plan, from 1"
            raise _wrong("REQUESTS_PER_MINUTE", text, fix)
        group = chain.group_of(model)
        if limits.setdefault(group, int(number)) != int(number):
            raise _wrong("REQUESTS_PER_MINUTE", text, f"{model} shares the limit {limits[group]} of group {group}")
    return limits


def parse_starts(text: str, models: tuple[str, ...]) -> dict[str, int]:
    """Read TASK_STARTS: task:model by comma. Returns the rung (from 0) of each task kind.

    The start of `task:auto` is learned. Until then the start is the primary, or the model of `task:auto:model`.

    >>> parse_starts("map:haiku, rank:auto, label:auto:haiku", ("opus", "haiku"))
    {'map': 1, 'rank': 0, 'label': 1}
    """
    starts: dict[str, int] = {}
    for task, model in _pairs(text):
        named = _learned_from(model) or (models[0] if model == _AUTO else model)
        if not task or not model:
            raise _wrong("TASK_STARTS", text, f"'{task}{model}' should be task:model or task:auto")
        if named not in models:
            raise _wrong("TASK_STARTS", text, f"{named} is not in MODEL_CHAIN ({', '.join(models)})")
        if task in starts:
            raise _wrong("TASK_STARTS", text, f"task {task!r} is named twice")
        starts[task] = models.index(named)
    return starts


def parse_autos(text: str) -> frozenset[str]:
    """Return the task kinds of TASK_STARTS whose start is learned from the ledger.

    >>> sorted(parse_autos("map:haiku, rank:auto, label:auto:haiku"))
    ['label', 'rank']
    """
    return frozenset(task for task, model in _pairs(text) if model == _AUTO or _learned_from(model))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for entry in filter(None, (part.strip() for part in text.split(","))):
        first, _, second = (part.strip() for part in entry.partition(":"))
        yield first, second


def _learned_from(model: str) -> str:
    auto, _, named = (part.strip() for part in model.partition(":"))
    return named if auto == _AUTO else ""


def _wrong(variable: str, value: str, fix: str) -> SettingsError:
    return SettingsError([Mistake(variable=variable, value=value or "(empty)", fix=fix)])
