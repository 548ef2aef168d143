"""Five levels of agents, each asking below the one that called it: `python subagents.py QUESTION`.

A sixth level would be refused before any call. Afterwards:
    stepdown ledger sql "SELECT path, task, model_used, cost_with_below_usd FROM v_call_tree ORDER BY path"
"""

import sys
from uuid import uuid4

from models.errors import TooDeepError
from worker import call_with_fallback

LEVELS = ("plan", "search", "read", "extract", "summarize")  # TASK_STARTS chooses each one's model


def agent(question: str, levels: tuple[str, ...], parent: str) -> list[str]:
    """Answer on this level, have the levels below go on from it, and return all that was said."""
    if not levels:
        return []
    message = call_with_fallback(f"{levels[0]}: {question}", max_tokens=200, task=levels[0], parent=parent)
    return [message["content"], *agent(message["content"], levels[1:], parent=message["job_id"])]


def main() -> None:
    """Ask down all levels, then one too many."""
    run, question = str(uuid4()), " ".join(sys.argv[1:]) or sys.exit("python subagents.py QUESTION")
    for level, message in zip(LEVELS, agent(question, LEVELS, parent=run), strict=True):
        print(f"{level}: {message}")
    try:
        call_with_fallback(question, parent=run, depth=len(LEVELS) + 1)
    except TooDeepError as refused:
        print(refused, file=sys.stderr)


if __name__ == "__main__":
    main()
