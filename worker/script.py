"""The turnstile's script as calls and answers: words in, words out, whoever runs it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.turnstile import Change, Ended, Go, Later, Need, Room

TEXT = Path(__file__).with_name("turnstile.lua").read_text(encoding="utf-8")
_CHANGES: Mapping[str, Change] = {"": "", "opened": "opened", "closed": "closed"}
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
        flags = (_flag(each) for each in (need.is_urgent, need.is_retry, need.has_waited))
        sizes = (need.input_tokens, need.output_tokens, need.hold_s, need.patience_s)
        signed = (self._worker, need.job)
        word, *told = self._run("ask", need.ticket, need.model, need.group, *map(str, sizes), *flags, *signed)
        if word == "go":
            return Go(after_s=float(told[0]), is_probe=told[1] == "1")
        why, wait_s, *figures = told
        return Later(
            why=why,
            wait_s=float(wait_s),
            figures={name: _figure(value) for name, value in zip(figures[::2], figures[1::2], strict=True)},
        )

    def tell(self, ended: Ended) -> Change:
        """Note how a request that was let through ended; returns what that made of its model's cooldown."""
        known = (ended.latency_ms, ended.input_tokens, ended.output_tokens, ended.retry_after_s)
        limits = (str(word) for kind, figures in ended.limits.items() for word in (kind, *figures))
        words = ("" if one is None else str(one) for one in known)
        changed, *_ = self._run("tell", ended.ticket, ended.model, ended.group, ended.how, *words, *limits)
        return _CHANGES[changed]

    def rooms(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Room]:
        """Tell for each model, given with its group, how many requests could leave within `horizon_s`."""
        pairs = (word for pair in models.items() for word in pair)
        free = self._run("rooms", str(horizon_s), *pairs)
        return {
            model: Room(free=max(0, int(count)), is_closed=int(count) < 0)
            for model, count in zip(models, free, strict=True)
        }

    def recovered(self) -> tuple[str, ...]:
        """List the models that came back since somebody of the fleet asked last."""
        return tuple(self._run("recovered")[0].split())

    def _run(self, command: str, *words: str) -> list[str]:
        now = "" if self._now is None else f"{self._now():.6f}"
        return [_text(word) for word in self._run_script([command, now, *self._tuning, *words])]


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


def _flag(is_so: bool) -> str:
    return "1" if is_so else "0"


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def _figure(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value
