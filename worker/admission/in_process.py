"""Admission control in a worker's own memory: the script that Redis runs, on the few commands that the script uses."""

import json
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from time import monotonic
from typing import Any

from lupa import lua51

from worker.admission.lua_script import TEXT

# A record stays a table without JSON. Numbers are cut to 14 digits, as JSON cuts them in Redis.
_COPY = """
local function copied(value)
  if type(value) == 'number' then return tonumber(string.format('%.14g', value)) end
  if type(value) ~= 'table' then return value end
  local copy = {}
  for name, each in pairs(value) do copy[name] = copied(each) end
  return copy
end
return copied
"""


class InProcessRedis:
    """Runs the script in this process, for all its threads."""

    def __init__(self, prefix: str, *, clock: Callable[[], float] = monotonic) -> None:
        self._lock = Lock()
        self._prefix = prefix
        self._clock = clock
        self._records: dict[str, Any] = {}  # tables of the script
        self._scores: dict[str, dict[str, float]] = {}
        self._lua = lua51.LuaRuntime(unpack_returned_tuples=True)
        self._chunk = self._lua.eval(f"function(redis, cjson, KEYS, ARGV) {TEXT}\nend")
        copied = self._lua.execute(_COPY)
        self._json = self._lua.table(encode=copied, decode=copied)
        self._commands = self._lua.table(call=self._call)
        self._spelled: Mapping[str, Callable[..., Any]] = {
            "TIME": self._time,
            "GET": lambda key: self._records.get(key, False),  # Redis' nil is false in a script
            "SET": self._set,
            "DEL": lambda key: int(self._records.pop(key, None) is not None),
            "ZADD": self._zadd,
            "ZREM": self._zrem,
            "ZCARD": lambda key: len(self._scores.get(key, {})),
            "ZRANGEBYSCORE": self._zrangebyscore,
            "PEXPIRE": lambda _key, _ms: 1,  # a process forgets by ending
        }

    def run(self, group: Sequence[Sequence[str]]) -> list[list[Any]]:
        """Run the script once for the words of each call."""
        return [self._run(words) for words in group]

    def _run(self, words: Sequence[str]) -> list[Any]:
        with self._lock:
            keys, arguments = self._lua.table(self._prefix), self._lua.table_from(list(words))
            return list(self._chunk(self._commands, self._json, keys, arguments).values())

    def fill(self, records: Mapping[str, str]) -> None:
        """Replace all records by those of Redis."""
        with self._lock:
            self._records = {
                key: self._lua.table_from(json.loads(text), recursive=True) for key, text in records.items()
            }
            self._scores.clear()

    def copied(self) -> dict[str, str]:
        """Copy all records, by key."""
        with self._lock:
            return {key: json.dumps(_plain(table)) for key, table in self._records.items()}

    def _call(self, command: str, *words: Any) -> Any:
        return self._spelled[command](*words)

    def _time(self) -> Any:
        seconds, rest = divmod(self._clock(), 1)
        return self._lua.table(str(int(seconds)), str(int(rest * 1_000_000)))

    def _set(self, key: str, table: Any, *_lifetime: Any) -> bool:
        self._records[key] = table
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


def _plain(value: Any) -> Any:
    """Return a value of the script in the form of JSON."""
    if lua51.lua_type(value) == "table":
        fields = {name: _plain(each) for name, each in value.items()}
        return list(fields.values()) if 1 in fields else fields
    return value
