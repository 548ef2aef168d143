"""The options of a submission, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from models.chain.chain import Chain
from models.errors import InputError
from models.job.map_reduce import OnFailedPart
from models.job.task_kinds import JobTerms, as_entry, parse_terms
from models.money.cap_settings import usd
from models.outcome import OnUnknown
from producer.output.dates import seconds_until
from producer.prompt.arguments import SubmitArguments
from producer.prompt.check_prompt import check_labels

MOST_WEIGHT = 100
_SOURCE = "submit"
_IN_TERMS = {"half_price", "by"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """The options of `Producer.submit`, checked. `terms` hold the lane and the deadline, too."""

    tags: Mapping[str, str]
    max_cost_usd: Decimal | None
    terms: JobTerms
    task: str | None = None
    name: str | None = None
    key: str | None = None
    on_unknown: OnUnknown | None = None
    allow_unpriced: bool = False
    urgent: bool = False
    weight: int = 1
    on_failed_part: OnFailedPart | None = None


def checked_options(
    given: SubmitArguments, chain: Chain, *, on_failed_part: OnFailedPart | None = None
) -> SubmitOptions:
    """Check the caller's options. Raises InputError."""
    checked: dict[str, Any] = {
        "tags": given.get("tags") or {},
        "max_cost_usd": max_cost(given.get("max_cost_usd")),
        "terms": _terms(given, chain),
    }
    own = {name: value for name, value in given.items() if name not in _IN_TERMS}
    options = SubmitOptions(**{**own, **checked}, on_failed_part=on_failed_part)
    if mistake := check_labels(name=options.name, key=options.key, task=options.task, tags=options.tags):
        raise mistake
    if type(options.weight) is not int or not 1 <= options.weight <= MOST_WEIGHT:
        problem = f"{options.weight!r} should be a whole number from 1 to {MOST_WEIGHT}"
        raise InputError(problem, source=_SOURCE, field="weight")
    return options


def _terms(given: SubmitArguments, chain: Chain) -> JobTerms:
    own, by, half_price = given.get("terms") or JobTerms(), given.get("by"), given.get("half_price")
    if by is not None:
        if own.deadline_s is not None:
            raise InputError("are both the deadline; give one", source=_SOURCE, field="by, terms.deadline_s")
        own = replace(own, deadline_s=seconds_until(by, source=_SOURCE, field="by"))
    if half_price is not None:
        own = replace(own, half_price=half_price)
    terms, problems = parse_terms(as_entry(own), chain.models)
    for name, problem in problems:
        raise InputError(problem, source=_SOURCE, field=name)
    if terms.half_price and given.get("urgent"):
        problem = "an urgent job never waits for a message batch; give one"
        raise InputError(problem, source=_SOURCE, field="urgent, half_price")
    return terms


def max_cost(given: Decimal | str | float | None, *, source: str = _SOURCE) -> Decimal | None:
    """Read the cap of a batch, in USD. Raises InputError."""
    if given is None:
        return None
    try:
        return usd(str(given))
    except ValueError as error:
        raise InputError(str(error), source=source, field="max_cost") from None
