"""The turnstile in a worker's own memory: the script that Redis runs, on the few commands it uses."""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from time import monotonic
from typing import Any

from lupa import lua51

from worker.script import TEXT

_MOST_VALUES = 10_000  # nothing expires here


class OwnMemory:
    """Runs the script in this process, for all its threads."""

    def __init__(self, prefix: str, *, clock: Callable[[], float] = monotonic) -> None:
        self._lock = Lock()
        self._prefix = prefix
        self._clock = clock
        self._hashes: dict[str, dict[str, str]] = {}
        self._scores: dict[str, dict[str, float]] = {}
        self._values: dict[str, str] = {}
        self._lua = lua51.LuaRuntime(unpack_returned_tuples=True)
        self._chunk = self._lua.eval(f"function(redis, KEYS, ARGV) {TEXT}\nend")
        self._commands = self._lua.table(call=self._call)
        self._spelled: Mapping[str, Callable[..., Any]] = {
            "TIME": self._time,
            "HGETALL": self._hgetall,
            "HGET": self._hget,
            "HSET": self._hset,
            "HDEL": self._hdel,
            "GET": self._get,
            "SET": self._set,
            "DEL": lambda key: int(self._values.pop(key, None) is not None),
            "ZADD": self._zadd,
            "ZREM": self._zrem,
            "ZCARD": lambda key: len(self._scores.get(key, {})),
            "ZRANGEBYSCORE": self._zrangebyscore,
            "PEXPIRE": lambda _key, _ms: 1,  # a process forgets by ending
        }

    def run(self, words: Sequence[str]) -> list[Any]:
        """Run the script."""
        with self._lock:
            keys, arguments = self._lua.table(self._prefix), self._lua.table_from(list(words))
            return list(self._chunk(self._commands, keys, arguments).values())

    def fill(self, hashes: Mapping[str, Mapping[str, str]]) -> None:
        """Know what Redis knew, and nothing else."""
        with self._lock:
            self._hashes = {key: dict(fields) for key, fields in hashes.items()}
            self._scores.clear()

    def copied(self) -> dict[str, dict[str, str]]:
        """Copy what is known, by key."""
        with self._lock:
            return {key: dict(fields) for key, fields in self._hashes.items()}

    def _call(self, command: str, *words: Any) -> Any:
        return self._spelled[command](*words)

    def _time(self) -> Any:
        seconds, rest = divmod(self._clock(), 1)
        return self._lua.table(str(int(seconds)), str(int(rest * 1_000_000)))

    def _hgetall(self, key: str) -> Any:
        return self._lua.table_from([word for pair in self._hashes.get(key, {}).items() for word in pair])

    def _hget(self, key: str, name: str) -> Any:
        return self._hashes.get(key, {}).get(name, False)  # what Redis' nil is to a script

    def _hset(self, key: str, *words: Any) -> int:
        pairs = zip(words[::2], words[1::2], strict=True)
        self._hashes.setdefault(key, {}).update((str(name), str(value)) for name, value in pairs)
        return 0

    def _hdel(self, key: str, name: str) -> int:
        return int(self._hashes.get(key, {}).pop(name, None) is not None)

    def _get(self, key: str) -> Any:
        return self._values.get(key, False)

    def _set(self, key: str, value: str, *_lifetime: str) -> bool:
        if len(self._values) >= _MOST_VALUES:
            self._values.clear()
        self._values[key] = value
        return True

    def _zadd(self, key: str, score: float, name: str) -> int:
        self._scores.setdefault(key, {})[name] = float(score)
        return 1

    def _zrem(self, key: str, name: str) -> int:
        return int(self._scores.get(key, {}).pop(name, None) is not None)

    def _zrangebyscore(self, key: str, _least: str, most: str) -> Any:
        # As Redis has them: by score, then by name.
        due = sorted((at, name) for name, at in self._scores.get(key, {}).items() if at <= float(most))
        return self._lua.table_from([name for _, name in due])
