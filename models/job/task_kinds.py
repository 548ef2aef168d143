"""The terms of a job, by its caller or task kind: range of models, patience, checks of the answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from reprlib import repr as shown
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationInfo

from models.chain.chain import Chain, RungRange
from models.job.answer_checks import JSON_SCHEMA, problem_of, schema_from
from models.outcome import Outcome
from models.toml_file import read_tables
from models.validation import Problem, validated

RAISED_TIMES = 4  # the factor on max_tokens for one more request after a truncated answer that may climb
CAN_CLIMB = (Outcome.TRUNCATED, Outcome.EMPTY, Outcome.REFUSED, Outcome.INVALID)
_SUMMARIES = "summarize"


def parse_climbs(words: Iterable[object]) -> frozenset[Outcome]:
    """Read the outcomes that climb. Raises ValueError that names the word and the choice."""
    given = [*words]
    if wrong := [str(word) for word in given if word not in CAN_CLIMB]:
        raise ValueError(f"{', '.join(sorted(wrong))} cannot climb; choose from {', '.join(CAN_CLIMB)}")
    return frozenset(Outcome(str(word)) for word in given)


def _model(given: object, info: ValidationInfo) -> object:
    models, _ = info.context or ((), None)
    if given is not None and given not in models:
        raise ValueError(f"{shown(given)} is not in MODEL_CHAIN ({', '.join(models)})")
    return given


def _ceiling(ceiling: str | None, info: ValidationInfo) -> str | None:
    models, _ = info.context or ((), None)
    floor = info.data.get("floor")
    if ceiling and floor and models.index(ceiling) > models.index(floor):
        raise ValueError(f"{ceiling} is below the floor {floor}: the chain is {', '.join(models)}, the best first")
    return ceiling


def _seconds(least: float, most: float) -> Any:
    return Field(strict=True, ge=least, le=most, description=f"a number of seconds from {least} to {most}")


def _climbs(given: object) -> frozenset[Outcome] | None:
    if given is None:
        return None
    if not isinstance(given, list | tuple | set | frozenset):
        raise ValueError(f"{shown(given)} should be a list of {', '.join(CAN_CLIMB)}")  # noqa: TRY004 - pydantic's rule
    return parse_climbs(given)


def _expects(given: object, info: ValidationInfo) -> object:
    """Read a `json_schema` that is the name of a file beside TASKS_FILE, then check everything."""
    _, folder = info.context or ((), None)
    if folder and isinstance(given, dict) and isinstance(name := given.get(JSON_SCHEMA), str):
        try:
            given = {**given, JSON_SCHEMA: schema_from(folder / name)}
        except ValueError as error:
            raise ValueError(JSON_SCHEMA, str(error)) from None
    if given is not None and (problem := problem_of(given)):
        raise ValueError(*([problem[1]] if problem[0] == "expects" else problem))
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """The terms of a job beside its prompt. A term is None if nobody gives it.

    `floor` and `ceiling` name the lowest and the highest model of the chain that the job may use. The job waits
    `patience_s` seconds for a model's limits before the job steps down. The job ends within `deadline_s` seconds. An
    answer with an end in `climb_on` is asked for again on a better model. `expects` holds the checks of an answer:
    `min_chars`, `pattern`, `json_schema`. With `half_price`, the answer may come from a message batch, at half the
    price, if the deadline leaves the time.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    floor: Annotated[str | None, PlainValidator(_model)] = None
    ceiling: Annotated[str | None, PlainValidator(_model), AfterValidator(_ceiling)] = None
    patience_s: Annotated[float | None, _seconds(0, 86_400)] = None
    deadline_s: Annotated[float | None, _seconds(1, 3650 * 86_400)] = None
    climb_on: Annotated[frozenset[Outcome] | None, PlainValidator(_climbs)] = None
    expects: Annotated[Mapping[str, Any] | None, PlainValidator(_expects)] = None
    half_price: Annotated[bool | None, Field(strict=True, description="true or false")] = None


_TERMS = TypeAdapter(JobTerms)
_FIELDS = tuple(field.name for field in fields(JobTerms))


def terms_for(task: str | None, own: JobTerms, kinds: Mapping[str, JobTerms], climbs: frozenset[Outcome]) -> JobTerms:
    """Return the terms of a job: each field is the caller's, else the task kind's, else the usual.

    `climbs` is CLIMB_ON. A job whose `climb_on` stays None climbs by the CLIMB_ON of its worker.
    """
    kind = kinds.get(task or "", JobTerms())
    given = {name: getattr(own if getattr(own, name) is not None else kind, name) for name in _FIELDS}
    if given["climb_on"] is None:
        given["climb_on"] = usual_climbs(task, given["expects"], climbs)
    return JobTerms(**given)


def usual_climbs(
    task: str | None, expects: Mapping[str, Any] | None, climbs: frozenset[Outcome]
) -> frozenset[Outcome] | None:
    """Return the usual outcomes that climb, or None for CLIMB_ON alone.

    A cut or empty summary climbs, too, as does an answer that fails its checks.
    """
    more = {Outcome.TRUNCATED, Outcome.EMPTY} if task == _SUMMARIES else set()
    more |= {Outcome.INVALID} if expects else set()
    return climbs | more if more else None


def within(span: RungRange, terms: JobTerms, chain: Chain, *, is_start_asked: bool = False) -> RungRange:
    """Keep a span between the terms' floor and ceiling. A start that nobody asked for moves between them, too."""
    models = chain.models
    floor = span.floor if terms.floor is None else models.index(terms.floor)
    ceiling = span.ceiling if terms.ceiling is None else models.index(terms.ceiling)
    start = span.start if is_start_asked else max(ceiling, min(span.start, floor))
    return RungRange(start=start, floor=floor, ceiling=ceiling)


def read_kinds(path: Path, models: tuple[str, ...]) -> dict[str, JobTerms]:
    """Read TASKS_FILE: a table for each task kind, with the fields of JobTerms, in TOML.

    A `json_schema` that is text names a file beside TASKS_FILE. Raises SettingsError with every mistake.
    """
    return read_tables(
        path,
        lambda _, table: validated(_TERMS, table, context=(models, path.parent)),
        variable="TASKS_FILE",
        kind="task kind",
    )


def parse_terms(entry: Mapping[str, Any], models: tuple[str, ...]) -> tuple[JobTerms, list[Problem]]:
    """Check terms against the models of the chain. Returns them, or empty ones with every problem."""
    terms, problems = validated(_TERMS, entry, context=(models, None))
    return terms or JobTerms(), problems


def as_entry(terms: JobTerms) -> dict[str, Any]:
    """Return terms as `parse_terms` takes them. Terms from Python may hold any values."""
    return {name: getattr(terms, name) for name in _FIELDS}
