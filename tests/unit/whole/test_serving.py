"""vLLM's real server, judged: clean with a LoRA and without one, and with each fault by the check of its name."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.engines.tokenizer_file import tokenizer_file
from npu_conformance.errors import JobError
from npu_conformance.workers.guard import alive
from npu_conformance.workers.server import running
from tests.unit.helpers.suite_runs import ROOT, Outcome, clean_environment, command, judge, outcome

PLUGIN = Path(__file__).parent / "engine_faults"
GUARD = (
    "model: a/Faulty\ntwin: qwen3-guard\nserve: {max_model_len: 2048, enforce_eager: true}\nvariants: [serving]\n"
    "prompts: [{set: guard, expect: false}, {set: general, chat: false, expect: false}]\n"
    "labels: {pattern: 'Safety: (?P<label>Safe|Unsafe|Controversial)\\s+Categories: (?P<category>[^\\n]+)'}\n"
)
CONDENSER = (
    "model: a/Faulty\nadapter: a/LoRA\ntwin: qwen3.5-condenser\nserve: {max_model_len: 2048, enforce_eager: true}\n"
    "variants: [serving]\nprompts: [{set: general, chat: true, expect: false}]\n"
    "chat_template_kwargs: {enable_thinking: false}\n"
)
LABELS = (" Safe", " Unsafe")
pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures("twin")]


def words(configs: Path, *more: str) -> tuple[str, ...]:
    """What judges the server of the one model there."""
    return ("-o", f"model_configs={configs}", "--twin", "-k", "Faulty and serving", *more)


def judged(reports: Path, configs: Path, config: str, fault: str, *more: str, **environment: str) -> Outcome:
    """The server, with a fault in it."""
    (configs / "Faulty.yaml").write_text(config)
    path = os.pathsep.join([str(PLUGIN), str(ROOT / "src")])
    return judge(reports, *words(configs, *more), PYTHONPATH=path, ENGINE_FAULT=fault, **environment)


def failing(found: Outcome) -> dict[str, str]:
    """Of each check that fails, by its metric, the place."""
    return {
        f"{one['check']}: {one['metric']}": one["where"]
        for one in found.model("Faulty")["checks"]
        if one["verdict"] in ("fail", "error", "inconclusive")
    }


@pytest.mark.parametrize("config", [GUARD, CONDENSER], ids=["guard", "condenser with its LoRA"])
def test_a_server_passes(own_configs: Path, tmp_path: Path, config: str) -> None:
    """All that it is asked; and judged again from what the run left."""
    found = judged(tmp_path, own_configs, config, "nothing")
    passed = {one["check"] for one in found.model("Faulty")["checks"] if one["verdict"] == "pass"}
    there = {name for name, check in CHECKS.items() if {"served", "served_adapter"} & set(check.requires)}

    assert (found.status, failing(found)) == (0, {}), found.output
    assert there - passed == ({"served_adapter"} if config == GUARD else {"concurrent_labels"})
    again = judge(tmp_path / "again", *words(own_configs, "--from", str(tmp_path / "latest")))
    assert (again.status, failing(again)) == (0, {}), again.output


@pytest.mark.parametrize(
    ("fault", "config", "expected", "told"),
    [
        ("lora_by_base", CONDENSER, "served_adapter: adapter_names", "answers as the model without the LoRA does"),
        ("double_bos", GUARD, "served_prompts: served_chat_ids", "stands twice: a second BOS"),
        ("label_flips", GUARD, "concurrent_labels: concurrent_labels", "among 16 clients"),
        ("stream_drops_chunk", GUARD, "served_streams: whole_streams", "the server counts"),
    ],
)
def test_a_fault_of_the_server_fails_by_its_name(
    own_configs: Path, tmp_path: Path, twin: Path, fault: str, config: str, expected: str, told: str
) -> None:
    """Base, the same engine without a server, has none of them."""
    file = tokenizer_file(twin)
    assert file is not None
    tokens = ",".join(str(file.ids(label, templated=True)[0][0]) for label in LABELS)
    found = failing(judged(tmp_path, own_configs, config, fault, ENGINE_FAULT_TOKENS=tokens))

    assert expected in found
    assert told in found[expected]


def test_a_repetition_penalty_of_generation_config_fails(own_configs: Path, tmp_path: Path, twin: Path) -> None:
    """By what the file asks for, and by the answers that it changes."""
    own = tmp_path / "own"
    shutil.copytree(twin, own)
    path = own / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"repetition_penalty": 4.0, "temperature": 0.7}))
    found = judged(tmp_path / "reports", own_configs, GUARD, "nothing", f"--candidate-weights={own}")
    told = failing(found)

    assert {one.partition(":")[0] for one in told} - {"shared_inputs"} == {"served_defaults"}, found.output
    assert "repetition_penalty 4.0, judged with 1.0" in told["served_defaults: greedy_settings"]
    assert "served_defaults: default_answers" in told


def test_a_server_killed_while_it_is_asked_is_one_clear_error(own_configs: Path, tmp_path: Path) -> None:
    """And none of its processes is left."""
    (own_configs / "Faulty.yaml").write_text(GUARD)
    environment = clean_environment(PYTHONPATH=str(ROOT / "src"))
    with subprocess.Popen(
        command(tmp_path, *words(own_configs)),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as suite:
        server = _server_that_answers(suite.pid, tmp_path)
        tree = [server, *server.children(recursive=True)]
        server.send_signal(signal.SIGKILL)
        output, _ = suite.communicate(timeout=300)
    found = outcome(suite.returncode, output, tmp_path)

    assert suite.returncode == 1
    assert not any(map(alive, tree))
    (message,) = {one["message"] for one in found.model("Faulty")["checks"] if "SIGKILL" in (one["message"] or "")}
    assert "the server was killed by signal SIGKILL" in message
    assert "last lines of" in message


def test_a_server_that_is_not_ready_in_time_is_ended(twin: Path, tmp_path: Path) -> None:
    """Amid its start, with the processes that it has by then."""
    words = [str(twin), "--enforce-eager", "--max-model-len=2048"]
    with pytest.raises(JobError, match="the server was not ready after 12 s") as caught:  # noqa: SIM117
        with running(words, {"VLLM_CPU_KVCACHE_SPACE": "1"}, tmp_path / "log", seconds=12):
            raise AssertionError("it was ready")

    assert "last lines of" in str(caught.value)
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(twin) in (one.info["cmdline"] or [])]


def _server_that_answers(suite: int, reports: Path) -> psutil.Process:
    """The server's first process, when it is asked."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        time.sleep(0.1)
        states = [path.read_text() for path in reports.glob("*/logs/Faulty-serving-*/progress.json")]
        if not any('"asking' in state for state in states):
            continue
        for process in psutil.Process(suite).children(recursive=True):
            if "npu_conformance.workers.vllm_command" in process.cmdline():
                return process
    raise AssertionError("no server was asked")
