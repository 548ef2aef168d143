"""A service of docker-compose.yml as compose runs it: its command line, its variables, a root that nobody can write."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.acceptance.compose import Reader
from tests.support.sites.command_line import ROOT, Ended

SERVICES: dict[str, dict[str, Any]] = Reader((ROOT / "docker-compose.yml").read_text(encoding="utf-8")).read()[
    "services"
]
_END_S = 240
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
# A folder that is bound back may lie under one that is covered. Root without capabilities is a user like any other.
_ENTER = """
set -eu
new=/mnt
at=$new/var/lib/stepdown
mount --rbind / $new
for covered in tmp var/lib; do mount -t tmpfs tmpfs $new/$covered; done
for seen in "$ROOT" "$PREFIX" "$BASE"; do
  test -e "$new$seen" || { mkdir -p "$new$seen"; mount --bind "$seen" "$new$seen"; }
done
case $STATE in *file) touch $at ;; *) mkdir $at ;; esac
mount $STATE $at
if test -n "$HIDDEN"; then mount -t tmpfs tmpfs "$new$HIDDEN"; fi
cut -d' ' -f2 /proc/self/mounts | grep "^$new" | while read -r mounted; do
  case ${mounted#$new/} in tmp | var/lib/stepdown | proc* | dev* | sys*) continue ;; esac
  test ! -e "$mounted" || mount -o remount,bind,ro "$mounted"
done
exec chroot $new setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container to be: `dotenv` is the .env beside the compose file, `state` says how its volume is mounted."""

    service: str
    dotenv: Mapping[str, str]
    places: Mapping[str, str]
    state: str
    hidden: str = ""

    def variables(self) -> dict[str, str]:
        """Make its environment: what the image sets, .env where the service asks for it, and its own variables."""
        service = SERVICES[self.service]
        read = self.dotenv if service.get("env_file") == [{"path": ".env", "required": "false"}] else {}
        own = {name: interpolated(value, self.dotenv) for name, value in service["environment"].items()}
        for name, value in own.items():
            for host, place in self.places.items():
                own[name] = own[name].replace(host, place) if value else value
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": "/home/stepdown", "LANG": "C.UTF-8", **read, **own}

    @contextmanager
    def running(self, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run its command until the end of the block, or until it ends by itself."""
        with log.open("wb") as words:
            command = self._entered("stepdown", *SERVICES[self.service]["command"])
            with subprocess.Popen(command, env=self._environment(), stdout=words, stderr=words) as process:
                try:
                    yield process
                finally:
                    if process.poll() is None:
                        process.send_signal(signal.SIGTERM)
                    try:
                        process.wait(_END_S)
                    except subprocess.TimeoutExpired:
                        process.kill()

    def ends(self) -> Ended:
        """Run its command to its end."""
        return self._ended("stepdown", *SERVICES[self.service]["command"])

    def health(self) -> Ended:
        """Run its health check, as compose does every few seconds."""
        kind, *command = SERVICES[self.service]["healthcheck"]["test"]
        assert kind == "CMD"
        return self._ended(*command)

    def with_(self, **changes: Any) -> "Container":
        """Make one that differs from this one."""
        return replace(self, **changes)

    def _ended(self, *command: str) -> Ended:
        run = subprocess.run(
            self._entered(*command), check=False, env=self._environment(), capture_output=True, timeout=_END_S
        )
        return Ended(code=run.returncode, out=run.stdout.decode(), err=run.stderr.decode())

    def _entered(self, *command: str) -> list[str]:
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", "--mount", *as_root, "sh", "-c", _ENTER, "enter", *command]

    def _environment(self) -> dict[str, str]:
        seen = {"ROOT": str(ROOT), "PREFIX": sys.prefix, "BASE": sys.base_prefix}
        return {**self.variables(), **seen, "STATE": self.state, "HIDDEN": self.hidden}


def interpolated(text: str, dotenv: Mapping[str, str]) -> str:
    """Put values in the place of `${NAME}`, `${NAME:-otherwise}` and `${NAME:?needed}`, as compose does."""

    def value(match: re.Match[str]) -> str:
        name, kind, otherwise = match.groups()
        found = dotenv.get(name, "")
        assert found or kind != "?", f"{name}: {otherwise}"
        return found or (otherwise or "")

    return _VARIABLE.sub(value, text)
