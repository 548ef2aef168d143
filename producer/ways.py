"""The options of a map and a synthesis, which make FILE documents instead of prompts."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from models.errors import InputError
from producer.options import with_options


def takes_ways(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_ways`; it gets what they come to as `ways`, None without --map."""
    return with_options(command, _ways, name="ways")


def _ways(
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
    said = {name: value for name, value in given.items() if value is not None}
    if map is not None:
        return {"map": map, "synthesize": synthesis, **said}
    if said or not synthesis:
        option = f"--{next(iter(said)).replace('_', '-')}" if said else "--no-synthesis"
        raise InputError("is for --map TEMPLATE", source="options", field=option)
    return None
