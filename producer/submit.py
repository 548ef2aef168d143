"""What `stepdown submit` does beside Producer.submit: read the file, judge its lines, word the hints."""

import gc
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any

from models.chain import Chain
from models.errors import InputError, InputMistakes
from models.outcome import OnUnknown
from producer.documents import Documents, read_documents
from producer.load import Loaded, PromptFile, load, opened_prompts
from producer.prompt import Prompt
from producer.span import misplaced

if TYPE_CHECKING:
    from producer.client import Batch, Producer

_MOST_NAMED = 3
_MANY = 10_000  # prompts: from here on people want to know how fast it was


def read(
    source: str,
    *,
    format: str | None,  # noqa: A002 - the option's own name
    template: str | None,
    id_column: str | None,
    max_tokens: int | None,
    skip_bad: bool,
    chain: Chain,
    task: str | None,
) -> Loaded:
    """Read all prompts of a file or of stdin; bad lines are listed and left out where they may be skipped."""
    gc.disable()  # a file of prompts is kept whole; searching it for rubbish takes a third longer
    asked: dict[str, Any] = {"format": format, "template": template, "id_column": id_column}

    def judge(prompt: Prompt, source: str, line: int) -> InputError | None:
        return misplaced(prompt, chain, task, source=source, line=line)

    loaded = load(source, **asked, max_tokens=max_tokens, models=chain.models, judge=judge)
    if not skip_bad or not loaded.prompts:
        return loaded
    for mistake in loaded.mistakes:
        _tell_left_out(mistake)
    return Loaded(prompts=loaded.prompts, mistakes=[])


@contextmanager
def opened_either(
    source: str, *, ways: dict[str, Any] | None, template: str | None, max_tokens: int | None, **form: Any
) -> Iterator[PromptFile | Documents]:
    """Open prompts, or read documents where they are to be mapped in some `ways`; `form` is as in `opened`."""
    if ways is None:
        with opened(source, template=template, max_tokens=max_tokens, **form) as prompts:
            yield prompts
        return
    if template is not None:
        raise InputError("and --map are both the template; give one", source="submit", field="--template")
    bound = {} if max_tokens is None else {"max_tokens": max_tokens}
    form.pop("models")  # rows of documents name none
    yield Documents(documents=read_documents(source, **form), ways=ways | bound)


@contextmanager
def opened(
    source: str,
    *,
    format: str | None,  # noqa: A002 - the option's own name
    template: str | None,
    id_column: str | None,
    max_tokens: int | None,
    skip_bad: bool,
    models: tuple[str, ...] = (),
) -> Iterator[PromptFile]:
    """Open a file of prompts, or stdin, for a block; bad lines are listed and left out where they may be skipped."""
    gc.disable()  # nothing that is read is part of a cycle, and searching for one takes time
    asked: dict[str, Any] = {"format": format, "template": template, "id_column": id_column}
    with ExitStack() as until_end:
        try:
            prompts = until_end.enter_context(opened_prompts(source, **asked, max_tokens=max_tokens, models=models))
        except InputError as mistake:
            raise InputMistakes([mistake]) from None
        yield replace(prompts, leave_out=_tell_left_out) if skip_bad else prompts


def submitted(producer: "Producer", read: PromptFile | Documents, *, task: str | None, **more: Any) -> "Batch":
    """Submit what was read."""
    if isinstance(read, PromptFile):
        return producer.submit(read, task=task, **more)
    ways = read.ways if task is None else {**read.ways, "task": task}
    return producer.summarize(read.documents, **ways, **more)


def _tell_left_out(mistake: InputError) -> None:
    sys.stderr.write(f"left out: {mistake}\n")


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


def hints(
    batch: "Batch",
    key: str | None,
    *,
    task: str | None = None,
    starts: Collection[str] = (),
    unheeded: Collection[str] = (),
) -> Iterator[str]:
    """Say what the id alone does not: that the batch was known, that its task was not, that it is not sent yet.

    `starts` are the tasks of TASK_STARTS; where there are none, a task is a label and no mistake. `unheeded` are the
    models that lines of another vendor named.
    """
    if batch.accepted >= _MANY:
        rate = f"{batch.accepted / batch.took_s:,.0f}/s"
        yield f"{batch.accepted:,} prompts were read and accepted in {batch.took_s:.1f} s ({rate})"
    if not batch.is_new:
        yield f"the same prompts were submitted under {key!r} before: nothing is bought again"
    if unheeded:
        named = ", ".join(shown(name) for name in sorted(unheeded)[:_MOST_NAMED])
        more = f" and {len(unheeded) - _MOST_NAMED} more" if len(unheeded) > _MOST_NAMED else ""
        yield f"the lines name {named}{more}: not in MODEL_CHAIN, so not heeded; the chain says who answers"
    if task is not None and starts and task not in starts:
        yield f"TASK_STARTS has no task {task!r}, so these start on the primary; it has {', '.join(map(repr, starts))}"
    if batch.not_sent is not None:
        yield f"accepted and kept, but not sent yet ({batch.not_sent}); a worker will pick it up when it is there"
