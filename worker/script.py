"""The turnstile's script as calls and answers: words in, words out, whoever runs it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.turnstile import Change, Ended, Go, Later, Need, Room

_FOLDER = Path(__file__).with_name("admission")
_SUBJECTS = ("state", "limits", "evidence", "concurrency", "breaker", "admission")  # each uses those before it
TEXT = "\n".join((_FOLDER / f"{subject}.lua").read_text(encoding="utf-8") for subject in _SUBJECTS)
_CHANGES: Mapping[str, Change] = {"": "", "opened": "opened", "closed": "closed", "key_works": "key_works"}
Run = Callable[[Sequence[str]], Sequence[Any]]  # arguments of the script -> what it returned


class Script:
    """A turnstile over something that runs the script. `now` is for tests; else the time is the host's own.

    `worker` signs what it lets through.
    `probe_every_s` is how often a model that is out of rotation is asked, `key_pause_s` how long a refused key rests.
    """

    def __init__(
        self,
        run: Run,
        *,
        probe_every_s: float,
        key_pause_s: float,
        worker: str = "-",
        now: Callable[[], float] | None = None,
    ) -> None:
        self._run_script = run
        self._worker = worker
        self._tuning = (f"{probe_every_s}", f"{key_pause_s}")
        self._now = now

    def ask(self, need: Need) -> Go | Later:
        """Let a request through, or say when to come back."""
        word, *told = self._run("acquire", worker=self._worker, **_request(need))
        if word == "granted":
            return Go(after_s=float(told[0]), is_probe=told[1] == "1")
        why, wait_s, *figures = told
        return Later(
            why=why,
            wait_s=float(wait_s),
            figures={name: _figure(value) for name, value in zip(figures[::2], figures[1::2], strict=True)},
        )

    def tell(self, ended: Ended) -> Change:
        """Note how a request that was let through ended; returns what that made of its model's cooldown."""
        known = {
            "latency_ms": ended.latency_ms,
            "input": ended.input_tokens,
            "output": ended.output_tokens,
            "retry_after_s": ended.retry_after_s,
        }
        for kind, (limit, remaining) in ended.limits.items():
            known |= {f"{kind}_limit": limit, f"{kind}_remaining": remaining}
        words = {name: str(value) for name, value in known.items() if value is not None}
        changed, *_ = self._run(
            "release", ticket=ended.ticket, model=ended.model, group=ended.group, result=ended.how, **words
        )
        return _CHANGES[changed]

    def rooms(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Room]:
        """Tell for each model, given with its group, how many requests could leave within `horizon_s`."""
        free = self._run("capacity", horizon_s=str(horizon_s), **models)
        return {
            model: Room(free=max(0, int(count)), is_closed=int(count) < 0)
            for model, count in zip(models, free, strict=True)
        }

    def _run(self, command: str, **words: str) -> list[str]:
        now = "" if self._now is None else f"{self._now():.6f}"
        pairs = (word for pair in words.items() for word in pair)
        return [_text(word) for word in self._run_script([command, now, *self._tuning, *pairs])]


def left_behind(tickets: Mapping[Any, Any], worker: str) -> list[Ended]:
    """Find in the script's hash of tickets those of a worker that is lost, as requests that did not leave.

    Whether they did nobody knows; the next reply's headers tell what the provider has counted.
    """
    words = {_text(ticket): _text(text).split() for ticket, text in tickets.items()}
    return [
        Ended(ticket=ticket, model=model, group=group, how="not_sent")
        for ticket, (*_, model, group, by) in words.items()
        if by == worker
    ]


def _request(need: Need) -> dict[str, str]:
    return {
        "ticket": need.ticket,
        "job": need.job,
        "model": need.model,
        "group": need.group,
        "input": str(need.input_tokens),
        "output": str(need.output_tokens),
        "hold_s": str(need.hold_s),
        "patience_s": str(need.patience_s),
        "queue_s": str(need.patience_s if need.queue_s is None else need.queue_s),
        "is_urgent": _flag(need.is_urgent),
        "is_retry": _flag(need.is_retry),
        "has_waited": _flag(need.has_waited),
    }


def _flag(is_so: bool) -> str:
    return "1" if is_so else "0"


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def _figure(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
