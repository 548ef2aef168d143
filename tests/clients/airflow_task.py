"""An Airflow task with the official AnthropicBatchOperator, run as often as asked: the retries of one task instance.

Run by the environment that has Airflow. Reads {"requests": [...], "model": ..., "timeouts_s": [...]} from stdin, one
run a timeout; prints {"ids": [batch or null where it timed out], "results": {custom_id: type}} as its last line.
"""

import json
import sys
from typing import Any

from airflow.providers.anthropic.exceptions import AnthropicBatchTimeout
from airflow.providers.anthropic.operators.batch import AnthropicBatchOperator


class _Instance:
    """The task instance, as far as the operator knows it."""

    def xcom_push(self, key: str, value: object) -> None:
        """Keep nothing: the runs must not learn of each other."""


def _run(asked: dict[str, Any], timeout_s: float) -> tuple[Any, str | None]:
    summaries = AnthropicBatchOperator(
        task_id="summaries",
        requests=asked["requests"],
        model=asked["model"],
        conn_id="stepdown",
        poll_interval=0.2,
        timeout=timeout_s,
    )
    try:
        return summaries, summaries.execute({"ti": _Instance()})
    except AnthropicBatchTimeout:
        return summaries, None


def main() -> None:
    """Run the task, then read the results of its last run."""
    asked = json.load(sys.stdin)
    runs = [_run(asked, timeout_s) for timeout_s in asked["timeouts_s"]]
    task, batch_id = runs[-1]
    results = {line.custom_id: line.result.type for line in task.hook.stream_batch_results(batch_id)}
    sys.stdout.write(json.dumps({"ids": [run[1] for run in runs], "results": results}) + "\n")


if __name__ == "__main__":
    main()
