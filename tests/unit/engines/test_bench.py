"""The worker that runs `vllm bench`: what it asks for, what it leaves, and how it ends where a tool fails."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.config.performance import Workload
from npu_conformance.engines.vllm import bench
from npu_conformance.errors import JobError, TraceError
from npu_conformance.machine.storage import LOG_VARIABLE
from npu_conformance.traces.performance import Bench
from npu_conformance.workers import server
from npu_conformance.workers.job import CLOSING, BenchJob

SAVED = Path(__file__).with_name("bench_json")
# Notes what it was asked, answers as a server, or writes what a real tool wrote.
PRETEND = """
import json, os, shutil, sys
from pathlib import Path
saved, words = Path(sys.argv[1]), sys.argv[2:]
with Path("asked.txt").open("a") as file:
    file.write(json.dumps([*words, os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"]]) + "\\n")
told = {word.partition("=")[0]: word.partition("=")[2] for word in words}
if words[0] == "serve":
    print("INFO GPU KV cache size: 1,024 tokens", flush=True)
    from http.server import BaseHTTPRequestHandler, HTTPServer
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
    HTTPServer(("127.0.0.1", int(told["--port"])), Handler).serve_forever()
if os.environ.get("PRETEND_BREAKS") == words[1]:
    print("ValueError: no such option")
    sys.exit(2)
output = told.get("--output-json") or Path(told["--result-dir"]) / told["--result-filename"]
shutil.copy(saved / ("single.json" if words[1] == "serve" else f"{words[1]}.json"), output)
"""


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of vLLM's command one that writes what a real one wrote; a folder with its log."""
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / "log.txt"))
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.chdir(tmp_path)
    for module in (bench, server):
        monkeypatch.setattr(module, "VLLM", ("-c", PRETEND, str(SAVED)))
    return tmp_path


def job(folder: Path, **changes: Any) -> BenchJob:
    """A job of a tool."""
    told = {
        "output": folder / "out.json",
        "engine": "vllm",
        "checkpoint": folder / "model",
        "rendered": folder / "rendered.json",
        "options": {"dtype": "bfloat16", "enable_prefix_caching": True, "compilation_config": {"mode": 0}},
        "max_tokens": 48,
        "tool": "latency",
        "workload": Workload(),
        "ready": 20,
    }
    return BenchJob.model_validate(told | changes)


def run(asked: BenchJob) -> tuple[Bench, list[list[str]], list[str]]:
    """What it leaves, what vLLM was asked, and the phases that it went through."""
    phases: list[str] = []
    bench.run(asked, lambda phase, *_: phases.append(phase))
    lines = Path("asked.txt").read_text(encoding="utf-8").splitlines()
    return Bench.model_validate_json(asked.output.read_bytes()), [json.loads(line) for line in lines], phases


def test_latency_is_asked_with_the_options_of_the_yaml(pretend: Path) -> None:
    """But prefix caching, which it has off: it repeats one prompt. The engine is vLLM's own, in its own process."""
    found, ((*words, own_process),), _ = run(job(pretend))

    assert words[:2] == ["bench", "latency"]
    assert {"--dtype=bfloat16", '--compilation-config={"mode": 0}', "--batch-size=1", "--num-iters=10"} <= set(words)
    assert not any("prefix-caching" in word for word in words)
    assert own_process == "1"
    assert found.figures["latency_p50_ms"].value > 0
    assert found.command[0].startswith(f"vllm bench latency --model={pretend / 'model'}")
    assert "--output-json" not in found.command[0]


def test_throughput_is_asked_with_the_lora(pretend: Path) -> None:
    """As the model is served."""
    found, ((*words, _),), _ = run(job(pretend, tool="throughput", adapter=pretend / "lora"))

    assert {
        "--enable-prefix-caching",
        "--random-input-len=128",
        "--random-output-len=64",
        f"--lora-path={pretend / 'lora'}",
    } <= set(words)
    assert found.figures["throughput_requests_per_s"].n == 32


def test_a_server_is_asked_twice_by_the_loras_name(pretend: Path) -> None:
    """One request at a time and several, with other prompts; what its log says of its start is kept."""
    found, (serve, single, loaded), phases = run(job(pretend, tool="serve", adapter=pretend / "lora"))

    assert serve[:2] == ["serve", str(pretend / "model")]
    assert serve[serve.index("--lora-modules") + 1] == f"lora={pretend / 'lora'}"
    assert "--served-model-name=lora" in single
    assert ("--max-concurrency=1" in single, "--max-concurrency=8" in loaded) == (True, True)
    assert next(word for word in single if "--seed" in word) != next(word for word in loaded if "--seed" in word)
    assert {"single_ttft_p50_ms", "loaded_ttft_p50_ms", "start_s"} <= set(found.figures)
    assert found.figures["kv_cache_tokens"].value == 1024
    assert [one.split()[1] for one in found.command] == ["serve", "bench", "bench"]
    assert phases[-1] == CLOSING, "or its engine's end would be taken for a loss"


def test_what_a_tool_wrote_that_is_no_json_is_one_line_with_its_name(
    pretend: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full disk leaves it."""
    (pretend / "throughput.json").write_text('{"num_requests": 32,')
    (pretend / "written").mkdir()
    monkeypatch.setattr(bench, "VLLM", ("-c", PRETEND, str(pretend)))
    monkeypatch.setenv(LOG_VARIABLE, str(pretend / "written" / "log.txt"))

    with pytest.raises(TraceError, match=r"written/throughput\.json: .*; its log may say why"):
        run(job(pretend, tool="throughput"))
    assert not (pretend / "out.json").exists()


@pytest.mark.parametrize("tool", ["latency", "serve"])
def test_a_tool_that_fails_is_named_with_its_log(pretend: Path, monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    """And nothing is left as its result."""
    monkeypatch.setenv("PRETEND_BREAKS", tool)

    with pytest.raises(JobError, match=rf"vllm bench {tool} .*: ended with exit status 2: see .*log\.txt"):
        run(job(pretend, tool=tool))
    assert not (pretend / "out.json").exists()
