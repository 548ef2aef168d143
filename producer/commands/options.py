"""Options that several commands share, and the producer that they open."""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from models.errors import InputError
from producer.output.dates import parse_seconds, seconds_until
from producer.output.terminal import print_line

if TYPE_CHECKING:
    from models.job.task_kinds import JobTerms
    from producer.client import Producer
    from producer.files.record_to_prompt import ReadOptions

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415


class WholeSummaries(TyperGroup):
    """A group whose help names each command with its whole first sentence, however narrow the terminal."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Click's own
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_LONGEST)) for name, one in self.commands.items()])


_LONGEST = 1_000  # characters of a summary
FORMATS_IN = "jsonl, text, csv, parquet, anthropic or openai"
BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="its id, a unique beginning of it, or its name")]
SomeBatchArgument = Annotated[
    str | None, typer.Argument(metavar="[BATCH]", help="its id, a unique beginning of it, or its name")
]
JobOption = Annotated[str | None, typer.Option("--job", metavar="ID", help="this job only, instead of a batch")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object")]
LinesOption = Annotated[bool, typer.Option("--jsonl", help="one JSON object a line")]
OnUnknownOption = Annotated[
    str | None, typer.Option(metavar="hold|rebuy", help="if a worker is lost during a call that may be billed")
]
MaxCostOption = Annotated[
    str | None, typer.Option(metavar="USD", help="what the batch may cost over all retries and fallbacks; then exit 3")
]
RetryFailedOption = Annotated[
    bool, typer.Option("--retry-failed", help="with --key: where the batch is known, queue its failed jobs again")
]
TimeoutOption = Annotated[float | None, typer.Option(help="seconds to wait; then exit 124, and the batch goes on")]

UrgentOption = Annotated[bool, typer.Option("--urgent", help="never behind jobs that are not")]
AllowUnpricedOption = Annotated[
    bool, typer.Option(show_default=False, help="take models without a price; their cost is unknown")
]
WeightOption = Annotated[int, typer.Option(min=1, max=100, help="its share beside other batches: 2 is twice the jobs")]

_SOURCE = "options"
_OPTIONS = {
    "patience_s": "--patience",
    "deadline_s": "--deadline",
    "expects.min_chars": "--min-chars",
    "expects.pattern": "--pattern",
    "expects.json_schema": "--json-schema",
}


def settings() -> Any:
    """Read the settings."""
    from models.settings import load_settings

    return load_settings()


def producer(given: Any = None) -> "Producer":
    """Open a producer."""
    from producer.client import Producer

    return Producer(given or settings())


def print_version(*, is_asked: bool) -> None:
    """Print the version that is installed, and end; nothing where nobody asks."""
    if is_asked:
        from importlib.metadata import version

        print_line(f"stepdown {version('stepdown')}")
        raise typer.Exit


def with_options(command: Callable[..., None], make: Callable[..., Any], *, name: str) -> Callable[..., None]:
    """Give a command the options of `make` as well; it gets what that makes of them as its argument `name`."""
    own, more = signature(command), signature(make)

    @wraps(command)
    def called(**given: Any) -> None:
        command(**{name: make(**{option: given.pop(option) for option in more.parameters})}, **given)

    kept = [parameter for option, parameter in own.parameters.items() if option != name]
    by_name = [option.replace(kind=Parameter.KEYWORD_ONLY) for option in (*kept, *more.parameters.values())]
    both = own.replace(parameters=by_name)
    annotations = {option: parameter.annotation for option, parameter in both.parameters.items()}
    vars(called).update(__signature__=both)
    called.__annotations__ = annotations
    return called


def takes_read_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_form`; it gets what they come to as `form`, yet without the chain's models."""
    return with_options(command, _form, name="form")


def takes_terms(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_terms`; it gets what they come to as `terms`, None where none is given."""
    return with_options(command, _terms, name="terms")


def takes_mapping(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_mapping`; it gets what they come to as `mapping`, None without --map."""
    return with_options(command, _mapping, name="mapping")


def _form(
    template: Annotated[str | None, typer.Option(help='the prompt made of columns: "Summarize: {text}"')] = None,
    id_column: Annotated[str | None, typer.Option(help="the column that holds each prompt's id")] = None,
    file_format: Annotated[str | None, typer.Option("--format", help=FORMATS_IN)] = None,
    separator: Annotated[
        str | None, typer.Option(metavar="CHAR", help="of a CSV's cells, or tab; left out, its rows tell")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="output tokens, where a prompt names none")] = None,
) -> "ReadOptions":
    from producer.files.record_to_prompt import ReadOptions

    columns: dict[str, Any] = {"template": template, "id_column": id_column, "separator": separator}
    return ReadOptions(format=file_format, **columns, max_tokens=max_tokens)


def _terms(  # noqa: PLR0913, PLR0917 - each is an option
    floor: Annotated[str | None, typer.Option(metavar="MODEL", help="the lowest model of the chain it accepts")] = None,
    ceiling: Annotated[str | None, typer.Option(metavar="MODEL", help="the highest it may climb to")] = None,
    patience: Annotated[
        str | None, typer.Option(metavar="30s", help="how long it waits for a model's limits before it steps down")
    ] = None,
    deadline: Annotated[str | None, typer.Option(metavar="2h", help="when it has ended, answered or not")] = None,
    by: Annotated[
        str | None, typer.Option(metavar="TIME", help="a deadline as a time: 06:00, the next such here; or an ISO time")
    ] = None,
    half_price: Annotated[
        bool, typer.Option("--half-price", help="in the provider's message batches, as far as the deadline allows")
    ] = False,
    climb_on: Annotated[
        str | None, typer.Option(metavar="ENDS", help="truncated,empty,refused,invalid: asked again, one model up")
    ] = None,
    min_chars: Annotated[int | None, typer.Option(help="an answer with fewer characters is invalid")] = None,
    pattern: Annotated[str | None, typer.Option(metavar="RE", help="one in which it is not found is invalid")] = None,
    json_schema: Annotated[Path | None, typer.Option(metavar="FILE", help="one whose JSON fails it is invalid")] = None,
) -> "JobTerms | None":
    checks = {"min_chars": min_chars, "pattern": pattern, "json_schema": json_schema and _schema(json_schema)}
    expects = {name: value for name, value in checks.items() if value is not None}
    given = {
        "floor": floor,
        "ceiling": ceiling,
        "patience_s": None if patience is None else parse_seconds(patience, source=_SOURCE, field="--patience"),
        "deadline_s": _deadline_s(deadline, by),
        "half_price": half_price or None,
        "climb_on": None if climb_on is None else [word.strip() for word in climb_on.split(",") if word.strip()],
        "expects": expects or None,
    }
    return None if all(value is None for value in given.values()) else _checked(given)


def _deadline_s(deadline: str | None, by: str | None) -> float | None:
    if by is None:
        return None if deadline is None else parse_seconds(deadline, source=_SOURCE, field="--deadline")
    if deadline is not None:
        raise InputError("are both the deadline; give one", source=_SOURCE, field="--by, --deadline")
    return seconds_until(by, source=_SOURCE, field="--by")


def _checked(given: Mapping[str, Any]) -> "JobTerms":
    from models.job.task_kinds import parse_terms

    terms, problems = parse_terms(given, settings().chain.models)
    for field, problem in problems:
        option = _OPTIONS.get(field, f"--{field.replace('_', '-')}")
        raise InputError(problem, source=_SOURCE, field=option)
    return terms


def _schema(path: Path) -> Any:
    from models.job.answer_checks import schema_from

    try:
        return schema_from(path)
    except ValueError as error:
        raise InputError(str(error), source=_SOURCE, field="--json-schema") from None


def _mapping(
    map: Annotated[  # noqa: A002 - the option's own name
        str | None,
        typer.Option(
            metavar="TEMPLATE", help='FILE (or a folder) is documents: asked of their parts, "Sum up: {text}"'
        ),
    ] = None,
    reduce: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="asked of the answers, level by level until there is one")
    ] = None,
    part_tokens: Annotated[int | None, typer.Option(min=1, help="of a document in one prompt; else what fits")] = None,
    step_tokens: Annotated[int | None, typer.Option(min=1, help="of answers in one prompt; else what fits")] = None,
    synthesis_max_tokens: Annotated[int | None, typer.Option(min=1, help="output tokens of the synthesis")] = None,
    on_failed_part: Annotated[
        str | None, typer.Option(metavar="name|stop", help="a part without an answer is named, or stops the rest")
    ] = None,
    synthesis: Annotated[bool, typer.Option(help="one answer of all; without it one a document")] = True,
) -> dict[str, Any] | None:
    given = {
        "reduce": reduce,
        "part_tokens": part_tokens,
        "step_tokens": step_tokens,
        "synthesis_max_tokens": synthesis_max_tokens,
        "on_failed_part": on_failed_part,
    }
    message = {name: value for name, value in given.items() if value is not None}
    if map is not None:
        return {"map": map, "synthesize": synthesis, **message}
    if message or not synthesis:
        option = f"--{next(iter(message)).replace('_', '-')}" if message else "--no-synthesis"
        raise InputError("is for --map TEMPLATE", source=_SOURCE, field=option)
    return None
