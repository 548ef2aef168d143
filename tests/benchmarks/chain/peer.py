"""The other sides: each peer in an environment of its own under .stepdown/bench, run as a process with no secrets."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer

from producer.simulator.process import running_simulator
from tests.benchmarks.chain.ran import End, Load, Ran, ran

_ROOT = Path(__file__).parents[3]
_ENVIRONMENTS = _ROOT / ".stepdown" / "bench"
_OF_THE_SYSTEM = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE")
_INSTALLING = ("HOME", "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME")  # where pip finds how to reach its index
# LiteLLM looks for a .env upwards of its own file, and for prices on the network, unless it is told not to.
_QUIET = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A script of tests/benchmarks/peers, and the package it needs: exactly this version, of exactly these files.

    Without a package it runs on what this project has.
    """

    script: str
    package: str = ""
    hashes: Sequence[str] = ()


# The versions that facts.md and faults.md were measured with. LiteLLM 1.82.7 and 1.82.8 carried a credential stealer:
# its wheels (Linux and macOS, Intel and Arm) are taken by hash only.
PEERS = {
    "article": Peer(script="article_loop"),
    "litellm": Peer(
        script="litellm_router",
        package="litellm==1.106.2",
        hashes=(
            "cb1a2a1e55a4a8350ae2167525dc0d06f59b078cd685fb3e0f5419f02da5420e",
            "34bfdc26c2c075726eda59ec0675e2a8a67b6e59a03980def7ef7651b849141a",
            "bf6f13445bb59d8d02131bbc1fb57161d1ae629bec65dc66f9add4c09fb6994a",
            "cc778d01ed65a8dd57d5211d581ec237e06df239a09c3d573ace33e0feea76c9",
        ),
    ),
    "pydantic-ai": Peer(
        script="pydantic_fallback",
        package="pydantic-ai-slim[anthropic]==2.68.0",
        hashes=("bb2fe81f198b77da7686f7b78c78c8a8ce966807c77d9ae277950fc20b77b165",),
    ),
    "langchain": Peer(
        script="langchain_fallback",
        package="langchain-anthropic==1.7.7",
        hashes=("ad6a82f53bd77f09e83bdb87f41d0b57843a41c995c735a7ab34626c1124ab63",),
    ),
}


def install(name: str) -> Path:
    """Make the peer's environment unless it is there already; returns its Python."""
    peer = PEERS[name]
    if not peer.package:
        return Path(sys.executable)
    folder = _ENVIRONMENTS / peer.package.replace("[", "-").replace("]", "")
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        bare = folder / "peer.txt"
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in peer.hashes)
        bare.write_text(f"{peer.package} {hashes}\n", encoding="utf-8")
        pip: list[str | Path] = [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ]
        environment = _environment(_INSTALLING)
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", bare], check=True, env=environment)
        subprocess.run([*pip, peer.package], check=True, env=environment)
        whole.touch()
    return python


def run_peer(name: str, load: Load, *, chain: Sequence[str] = (), side: str = "") -> Ran:
    """Have a peer answer everything, with as many threads or tasks as our workers have together."""
    python = install(name)
    with (
        TemporaryDirectory(prefix="bench-chain-") as folder,
        running_simulator(latency_s=load.latency_s) as simulator,
        running_simulator(latency_s=load.latency_s) as cloud,
    ):
        prompts = Path(folder, "prompts.jsonl")
        prompts.write_text("".join(json.dumps(asdict(asked)) + "\n" for asked in load.asked), encoding="utf-8")
        command: list[str | Path] = [
            python,
            "-m",
            f"tests.benchmarks.peers.{PEERS[name].script}",
            prompts,
            ",".join(chain or load.chain),
        ]
        command += [str(load.threads), str(load.for_s or load.limit_s)]
        with _process(command, Path(folder), simulator.url, cloud.url) as process:
            simulator.set_script(load.script)
            started, began_s = datetime.now(UTC), time.monotonic()
            ends, is_cut = _reported(process, load.limit_s)
            wall_s = time.monotonic() - began_s
            return ran(side or name, simulator, started, ends, wall_s=wall_s, is_cut=is_cut)


@contextmanager
def _process(command: Sequence[str | Path], folder: Path, url: str, cloud: str) -> Iterator[subprocess.Popen[str]]:
    """Start a peer in an empty home; when this yields, it has imported everything and waits for a line."""
    variables = {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": url, "CLOUD_URL": cloud}
    variables |= {"HOME": str(folder), "PYTHONPATH": str(_ROOT)}
    environment, log = {**_environment(), **_QUIET, **variables}, folder / "stderr.txt"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            if process.stdout is None or process.stdout.readline().strip() != "ready":
                message = f"the peer did not start: {log.read_text(encoding='utf-8')[-2000:]}"
                raise RuntimeError(message)
            yield process
        finally:
            process.kill()


def _reported(process: subprocess.Popen[str], limit_s: float) -> tuple[list[End], bool]:
    """Let it begin, and read what became of each prompt until it ends or is stopped."""
    assert process.stdin is not None
    assert process.stdout is not None
    watch = Timer(limit_s, process.kill)
    watch.start()
    process.stdin.write("go\n")
    process.stdin.flush()
    lines = [json.loads(line) for line in process.stdout if line.startswith('{"id"') and line.endswith("\n")]
    watch.cancel()
    is_cut = process.wait() == -signal.SIGKILL
    if process.returncode and not is_cut:
        message = f"the peer ended with {process.returncode} after {len(lines)} prompts"
        raise RuntimeError(message)
    return [End(**line) for line in lines], is_cut


def _environment(more: Sequence[str] = ()) -> Mapping[str, str]:
    return {name: os.environ[name] for name in (*_OF_THE_SYSTEM, *more) if name in os.environ}
