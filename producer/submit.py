"""What `stepdown submit` does beside Producer.submit: read the file, judge its lines, word the hints."""

import gc
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from models.outcome import OnUnknown
from producer.documents import Documents, read_documents
from producer.load import Loaded, load

if TYPE_CHECKING:
    from producer.client import Batch, Producer


def read(
    source: str,
    *,
    format: str | None,  # noqa: A002 - the option's own name
    template: str | None,
    id_column: str | None,
    max_tokens: int | None,
    skip_bad: bool,
) -> Loaded:
    """Read the prompts of a file or of stdin; bad lines are listed and left out where they may be skipped."""
    gc.disable()  # a file of prompts is kept whole until it is accepted; searching it for rubbish takes a third longer
    loaded = load(source, format=format, template=template, id_column=id_column, max_tokens=max_tokens)
    if not skip_bad or not loaded.prompts:
        return loaded
    for mistake in loaded.mistakes:
        sys.stderr.write(f"left out: {mistake}\n")
    return Loaded(prompts=loaded.prompts, mistakes=[])


def read_either(
    source: str,
    *,
    ways: dict[str, Any] | None,
    template: str | None,
    max_tokens: int | None,
    **form: Any,
) -> Loaded | Documents:
    """Read prompts, or documents where they are to be mapped in some `ways`; `form` is as in `read`."""
    if ways is None:
        return read(source, template=template, max_tokens=max_tokens, **form)
    if template is not None:
        raise InputError("and --map are both the template; give one", source="submit", field="--template")
    return Documents(
        documents=read_documents(source, **form),
        ways=ways | ({} if max_tokens is None else {"max_tokens": max_tokens}),
    )


def submitted(producer: "Producer", read: Loaded | Documents, *, task: str | None, **more: Any) -> "Batch":
    """Submit what was read."""
    if isinstance(read, Loaded):
        return producer.submit(read, task=task, **more)
    ways = read.ways if task is None else {**read.ways, "task": task}
    return producer.summarize(read.documents, **ways, **more)


def tags(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs."""
    read_tags: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{pair!r} should be NAME=VALUE", source="submit", field="--tag")
        read_tags[name] = value
    return read_tags


def choice(on_unknown: str | None) -> OnUnknown | None:
    """Read what a job chose for itself; None leaves it to HOLD_ABOVE_USD."""
    if on_unknown is None:
        return None
    try:
        return OnUnknown(on_unknown)
    except ValueError:
        said = f"{on_unknown!r} should be {' or '.join(OnUnknown)}"
        raise InputError(said, source="submit", field="--on-unknown") from None


def hints(batch: "Batch", key: str | None, *, task: str | None = None, starts: Collection[str] = ()) -> Iterator[str]:
    """Say what the id alone does not: that the batch was known, that its task was not, that it is not sent yet.

    `starts` are the tasks of TASK_STARTS; where there are none, a task is a label and no mistake.
    """
    if not batch.is_new:
        yield f"the same prompts were submitted under {key!r} before: nothing is bought again"
    if task is not None and starts and task not in starts:
        yield f"TASK_STARTS has no task {task!r}, so these start on the primary; it has {', '.join(map(repr, starts))}"
    if batch.not_sent is not None:
        yield f"accepted and kept, but not sent yet ({batch.not_sent}); a worker will pick it up when it is there"
