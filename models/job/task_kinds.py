"""What a task kind asks of its jobs, or a caller of his own: how far they go, how long they wait, what will not do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from models.chain.chain import Chain, RungRange
from models.errors import Mistake, SettingsError
from models.job.answer_checks import JSON_SCHEMA, problem_of, schema_from
from models.outcome import Outcome
from models.toml_file import read_toml

RAISED_TIMES = 4  # a truncated answer that may climb is first asked for again with so much more room
CAN_CLIMB = (Outcome.TRUNCATED, Outcome.EMPTY, Outcome.REFUSED, Outcome.INVALID)
_SUMMARIES = "summarize"
_LONGEST_PATIENCE_S = 86_400
_LONGEST_DEADLINE_S = 3650 * 86_400
Problem = tuple[str, str]  # the field, and what is wrong with it


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """What is asked of a job beside its prompt; None where nothing is said.

    `floor` and `ceiling` name the lowest and the highest model of the chain it may use. It waits `patience_s` seconds
    for a model's limits before it steps down, and ends within `deadline_s`. `climb_on` are the ends of an answer that
    is asked for again on a better model. `expects` is what an answer must pass: `min_chars`, `pattern`, `json_schema`.
    """

    floor: str | None = None
    ceiling: str | None = None
    patience_s: float | None = None
    deadline_s: float | None = None
    climb_on: frozenset[Outcome] | None = None
    expects: Mapping[str, Any] | None = None


_FIELDS = tuple(field.name for field in fields(JobTerms))


def terms_for(task: str | None, own: JobTerms, kinds: Mapping[str, JobTerms], climbs: frozenset[Outcome]) -> JobTerms:
    """Put together what holds for a job: what its caller said, else its task kind, else what is usual.

    `climbs` is CLIMB_ON; a job whose `climb_on` stays None is left to that of its worker.
    """
    kind = kinds.get(task or "", JobTerms())
    said = {name: getattr(own if getattr(own, name) is not None else kind, name) for name in _FIELDS}
    if said["climb_on"] is None:
        said["climb_on"] = usual_climbs(task, said["expects"], climbs)
    return JobTerms(**said)


def usual_climbs(
    task: str | None, expects: Mapping[str, Any] | None, climbs: frozenset[Outcome]
) -> frozenset[Outcome] | None:
    """Tell what climbs where nobody says: beside CLIMB_ON a summary that is cut or empty, and what fails its check."""
    more = {Outcome.TRUNCATED, Outcome.EMPTY} if task == _SUMMARIES else set()
    more |= {Outcome.INVALID} if expects else set()
    return climbs | more if more else None


def within(span: RungRange, terms: JobTerms, chain: Chain, *, is_start_asked: bool = False) -> RungRange:
    """Keep a span between the terms' floor and ceiling; a start that nobody asked for moves with them."""
    models = chain.models
    floor = span.floor if terms.floor is None else models.index(terms.floor)
    ceiling = span.ceiling if terms.ceiling is None else models.index(terms.ceiling)
    start = span.start if is_start_asked else max(ceiling, min(span.start, floor))
    return RungRange(start=start, floor=floor, ceiling=ceiling)


def read_kinds(path: Path, models: tuple[str, ...]) -> dict[str, JobTerms]:
    """Read TASKS_FILE: a table for each task kind, with the fields of JobTerms, in TOML.

    A `json_schema` that is text names a file beside it. Raises SettingsError with every mistake.
    """
    mistakes, kinds = list[Mistake](), dict[str, JobTerms]()
    for task, entry in _tables(path).items():
        if not isinstance(entry, dict):
            mistakes.append(_wrong(path, f"{task}: is no table: begin each task kind with [its-name]"))
            continue
        read, unread = _with_schema(entry, path)
        terms, problems = parse_terms(read, models)
        mistakes += [_wrong(path, f"[{task}] {name}: {problem}") for name, problem in (*unread, *problems)]
        kinds[task] = terms
    if mistakes:
        raise SettingsError(mistakes)
    return kinds


def parse_terms(entry: Mapping[str, Any], models: tuple[str, ...]) -> tuple[JobTerms, list[Problem]]:
    """Read terms by their names; returns them, without those that are wrong, and what is wrong with each."""
    problems = list(_problems(entry, models))
    wrong = {name.partition(".")[0] for name, _ in problems}
    given = {name: value for name, value in entry.items() if value is not None and name not in wrong}
    if "climb_on" in given:
        given["climb_on"] = frozenset(Outcome(word) for word in given["climb_on"])
    return JobTerms(**given), problems


def as_entry(terms: JobTerms) -> dict[str, Any]:
    """Lay terms out as they are parsed: whoever made them from Python may have made anything."""
    return {name: getattr(terms, name) for name in _FIELDS}


def parse_climbs(words: Iterable[object]) -> frozenset[Outcome]:
    """Read what climbs. Raises ValueError that names the word and the choice."""
    given = [*words]
    if wrong := [str(word) for word in given if word not in CAN_CLIMB]:
        message = f"{', '.join(sorted(wrong))} cannot climb; choose from {', '.join(CAN_CLIMB)}"
        raise ValueError(message)
    return frozenset(Outcome(str(word)) for word in given)


def _problems(entry: Mapping[str, Any], models: tuple[str, ...]) -> Iterator[Problem]:
    for name in entry:
        if name not in _FIELDS:
            yield str(name), f"is unknown; choose from {', '.join(_FIELDS)}"
    for name in ("floor", "ceiling"):
        if entry.get(name) is not None and entry[name] not in models:
            yield name, f"{shown(entry[name])} is not in MODEL_CHAIN ({', '.join(models)})"
    floor, ceiling = entry.get("floor"), entry.get("ceiling")
    if floor in models and ceiling in models and models.index(ceiling) > models.index(floor):
        yield "ceiling", f"{ceiling} is below the floor {floor}: the chain is {', '.join(models)}, the best first"
    for name, least, most in (("patience_s", 0, _LONGEST_PATIENCE_S), ("deadline_s", 1, _LONGEST_DEADLINE_S)):
        if entry.get(name) is not None and not _is_between(entry[name], least, most):
            yield name, f"{shown(entry[name])} should be a number of seconds from {least} to {most}"
    yield from _climb_problems(entry.get("climb_on"))
    if entry.get("expects") is not None and (problem := problem_of(entry["expects"])):
        yield problem[0] if problem[0] == "expects" else f"expects.{problem[0]}", problem[1]


def _climb_problems(given: object) -> Iterator[Problem]:
    if given is None:
        return
    if not isinstance(given, list | tuple | set | frozenset):
        yield "climb_on", f"{shown(given)} should be a list of {', '.join(CAN_CLIMB)}"
        return
    try:
        parse_climbs(given)
    except ValueError as error:
        yield "climb_on", str(error)


def _is_between(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _tables(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except ValueError as error:
        raise SettingsError([_wrong(path, str(error))]) from None


def _with_schema(entry: dict[str, Any], path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Put a schema in the place of its file's name."""
    expects = entry.get("expects")
    if not isinstance(expects, dict) or not isinstance(name := expects.get(JSON_SCHEMA), str):
        return entry, []
    try:
        return {**entry, "expects": {**expects, JSON_SCHEMA: schema_from(path.parent / name)}}, []
    except ValueError as error:
        return {**entry, "expects": None}, [(f"expects.{JSON_SCHEMA}", str(error))]


def _wrong(path: Path, fix: str) -> Mistake:
    return Mistake(variable="TASKS_FILE", value=str(path), fix=fix)
