"""Reads a whole file of prompts at once: the prompts, and the mistakes, each as the product words it."""

from dataclasses import dataclass
from typing import BinaryIO

from models.errors import InputError, InputMistakes
from producer.files.prompts import AS_IT_IS, opened_prompts
from producer.files.record_to_prompt import ReadOptions
from producer.prompt.prompt import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The prompts of a file, a mistake for each bad line (or for the file), and the notes on how it was read."""

    prompts: list[Prompt]
    mistakes: list[InputError]
    notes: tuple[str, ...] = ()


def load(source: str, form: ReadOptions = AS_IT_IS, *, stdin: BinaryIO | None = None) -> Loaded:
    """Read every line of a file, or of stdin if `source` is "-"."""
    prompts, mistakes = list[Prompt](), list[InputError]()
    notes: tuple[str, ...] = ()
    try:
        with opened_prompts(source, form, stdin=stdin) as file:
            for line in file.lines():
                if isinstance(line, InputError):
                    mistakes.append(line)
                else:
                    prompts.append(line)
            notes = file.notes
    except InputError as mistake:
        return Loaded(prompts=[], mistakes=[mistake])
    except InputMistakes as refused:
        return Loaded(prompts=[], mistakes=list(refused.mistakes))
    return Loaded(prompts=prompts, mistakes=mistakes, notes=notes)
