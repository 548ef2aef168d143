"""The forecast of a map and a synthesis: the prompts, and the tokens that steps will read of answers."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from models.job.map_reduce import PartAnswer, question
from producer.costs.cost_model import EstimateInputs, Reading
from producer.map_reduce.plan import Planned
from producer.prompt.prompt import Prompt

_READ_TIMES = 2  # at most so many times the tokens an answer was written in: the models of a chain count differently


def forecast_documents(planned: Sequence[Planned], inputs: EstimateInputs) -> tuple[list[Prompt], dict[int, Reading]]:
    """Return the prompts of a plan, and by place the tokens that steps will read of usual answers.

    Steps are filled with answers of the greatest length.
    """
    prompts, reads = list[Prompt](), dict[int, Reading]()
    for place, one in enumerate(planned):
        if not one.parts:
            prompts.append(one.prompt)
            continue
        parts = [planned[part] for part in one.parts]
        prompts.append(replace(one.prompt, text=question(one.pieces, [_longest(part, inputs) for part in parts], [])))
        reads[place] = _reads(one, parts, inputs)
    return prompts, reads


def _longest(part: Planned, inputs: EstimateInputs) -> PartAnswer:
    prompt = part.prompt
    most = max(inputs.most_written(model, prompt.task, prompt.max_tokens) for model in inputs.chain.models)
    return PartAnswer(label=part.label, text="x" * (_READ_TIMES * most))  # no token is shorter than a character


def _reads(step: Planned, parts: Sequence[Planned], inputs: EstimateInputs) -> Reading:
    low, expected = Decimal(0), Decimal(0)
    for part in parts:
        written = inputs.learned.output_tokens(part.prompt.task, part.prompt.max_tokens)
        low, expected = low + written.low, expected + written.expected
    around = question(step.pieces, [PartAnswer(label=part.label, text="") for part in parts], [])
    repeated = max(1, len(step.pieces) - 1)
    return Reading(characters=len(around), low=repeated * low, expected=repeated * expected)
