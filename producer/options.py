"""What the commands share: options, the producer they open, and where they print."""

import sys
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from producer.client import Producer

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

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
WeightOption = Annotated[int, typer.Option(min=1, max=100, help="its share beside other batches: 2 is twice the jobs")]


def settings() -> Any:
    """Read the settings."""
    from models.settings import load_settings

    return load_settings()


def producer(given: Any = None) -> "Producer":
    """Open a producer."""
    from producer.client import Producer

    return Producer(given or settings())


def say(line: str, *, at_once: bool = False) -> None:
    """Print what was asked for; `at_once`, also where a pipe would keep it until there is more."""
    sys.stdout.write(f"{line}\n")
    if at_once:
        sys.stdout.flush()


def print_version(*, is_asked: bool) -> None:
    """Print the version that is installed, and end; nothing where nobody asks."""
    if is_asked:
        from importlib.metadata import version

        say(f"stepdown {version('stepdown')}")
        raise typer.Exit


def hint(line: str) -> None:
    """Print what is good to know, beside it."""
    sys.stderr.write(f"{line}\n")


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
