"""`stepdown status`: where a batch is, what its open jobs wait for, and who throttles the fleet."""

import json

from producer.options import BatchArgument, JsonOption, hint, producer, say

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415


def status(batch: BatchArgument, as_json: JsonOption = False) -> None:
    """Print the state of a batch, with the causes and times of its waiting jobs."""
    from producer import show
    from producer.wait_lines import wait_lines, waits_json

    with producer() as ours:
        progress = ours.batch(batch).progress()
        is_open = not progress.is_finished
        waits = ours.books.waits.of_batch(progress.batch_id, ours.models) if is_open else []
        throttles = ours.throttles() if is_open else []
        if as_json:
            say(json.dumps(json.loads(show.progress_json(progress)) | waits_json(waits, ours.models, throttles)))
        else:
            say(show.progress_line(progress))
            for line in wait_lines(waits, ours.models, throttles):
                say(line)
        for verdict in ours.books.health.today():
            if verdict.is_alarming:
                hint(f"alarm: {verdict.in_words()}")
