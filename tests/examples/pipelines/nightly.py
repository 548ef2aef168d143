"""A day's articles summarized; run again for the same day, it buys nothing twice. What the other files schedule."""

import csv
from pathlib import Path

from producer import Producer, Prompt

MOST_USD = 5


def articles(path: Path) -> list[Prompt]:
    """Read a CSV file with the columns id, title and text."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [Prompt(f"Summarize: {row['title']}. {row['text']}", id=row["id"], max_tokens=300) for row in rows]


def summarize_day(day: str, path: Path) -> dict[str, str]:
    """Submit a day's articles and wait; returns each one's summary by its id. Raises where any has none.

    The key makes a second run the same batch: it waits for what the first one asked, or reads its answers.
    """
    with Producer.from_env() as producer:
        key = f"nightly/{day}"
        batch = producer.submit(articles(path), task="summarize", name=key, key=key, max_cost_usd=MOST_USD)
        answers = list(batch.wait(timeout_s=3600))
    if failed := [answer for answer in answers if answer.text is None]:
        message = f"batch {batch.id}: {len(failed)} of {len(answers)} have no summary, the first: {failed[0].error}"
        raise RuntimeError(message)
    return {answer.id: answer.text or "" for answer in answers}
