"""Jobs that compute on the host: they never import an accelerator's plugin, and take all threads they may."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import Prompt
from npu_conformance.machine.devices import host_cores
from npu_conformance.run.preparation import prepare
from npu_conformance.run.references import References
from npu_conformance.run.schedule import passes
from npu_conformance.run.settings import Settings
from npu_conformance.workers import worker
from npu_conformance.workers.job import RenderJob
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from tests.unit.conversion.test_fp8 import save_qwen3
from tests.unit.helpers.small_traces import logits, write_trace

# In the workers: each says at its end what it was and what became of its libraries.
TELL = """
import os, sys
leave = os._exit

def tell(code):
    torch = sys.modules.get("torch")
    with open(os.environ["TOLD"], "a") as file:
        print(os.environ["OMP_NUM_THREADS"], torch and torch.get_num_threads(), file=file)
    leave(code)

os._exit = tell
"""
# A torch_npu that searches find, that torch would load by itself, and that cannot be imported unnoticed.
PLUGIN = """
import os
with open(os.environ["TOLD"] + ".imported", "a") as file:
    print("imported", file=file)
raise ImportError("this machine has no NPU")
"""
PROMPTS = (Prompt(id="set/0", text="one two", chat=False),)


def imported(told: Path) -> Path:
    """The mark that the plugin leaves."""
    return Path(f"{told}.imported")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What workers said, a line each. Their environment is that of Ascend's images, with a torch_npu that tells."""
    path = tmp_path / "path"
    package, facts = path / "torch_npu", path / "torch_npu-2.10.0.dist-info"
    for folder in (path, package, facts):
        folder.mkdir()
    (path / "sitecustomize.py").write_text(TELL)
    (package / "__init__.py").write_text(PLUGIN)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-npu\nVersion: 2.10.0\n")
    (facts / "entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n")
    monkeypatch.setenv("PYTHONPATH", str(path))
    # There it is 1; here a number that is wrong however many cores there are.
    monkeypatch.setenv("OMP_NUM_THREADS", str(host_cores() + 1))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return tmp_path / "told"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A block-FP8 Qwen3 with a tokenizer of its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    save_qwen3(tmp_path / "source")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "one": 1, "two": 2}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = dict.fromkeys(("unk_token", "eos_token"), "[UNK]")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(tmp_path / "source")
    return tmp_path / "source"


def run_everything(published: Path, folder: Path) -> None:
    """Scan, convert, render, audit, then the reference and its floor, each in a real worker."""
    config = ModelConfig.model_validate({"model": "a/b", "convert": "bfloat16"})
    subject, jobs = Subject("Small", "real", published, None), Jobs(folder, Narrator())
    prepared = prepare(config, subject, PROMPTS, folder, jobs)
    base = folder / "base"
    write_trace(base / "candidate", logits(1, 3), name="set")
    References(config, subject, prepared, Settings(configs=folder), jobs).score(base, passes(config, ("base",))[0].runs)


def test_a_worker_imports_no_plugin_and_takes_the_hosts_cores(published: Path, told: Path, tmp_path: Path) -> None:
    """Though its tokenizer comes from transformers, and the environment says one thread."""
    job = RenderJob(output=tmp_path / "rendered.json", checkpoint=published, prompts=PROMPTS)
    jobs = Jobs(tmp_path / "run", Narrator())
    jobs.run(job, "Small: prompts", 300, environment=jobs.on_the_host())

    assert told.read_text().split() == [str(host_cores())] * 2
    assert not imported(told).exists()


@pytest.mark.parametrize("kind", ["candidate", "faults", "probe", "render"])
def test_only_what_runs_an_engine_may_use_a_device(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From every other worker torch_npu is hidden."""
    common: dict[str, Any] = {"kind": kind, "output": "out", "checkpoint": "model"}
    engine = {"engine": "vllm", "rendered": "rendered.json", "options": {}, "max_tokens": 1}
    own: dict[str, Any] = {"candidate": {}, "faults": {"injections": []}, "probe": {"pieces": []}}
    job = common | ({"prompts": []} if kind == "render" else engine | own[kind])
    (tmp_path / "job.json").write_text(json.dumps(job))
    hidden: list[bool] = []
    monkeypatch.setattr(worker, "stay_on_host", lambda: hidden.append(True))
    monkeypatch.setattr(worker, "_die_with_parent", lambda: None)
    monkeypatch.setattr(worker, "_do", lambda _job, _progress: None)

    assert worker.main(tmp_path) == 0
    assert bool(hidden) == (kind == "render")


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_no_worker_but_an_engines_does(published: Path, told: Path, tmp_path: Path) -> None:
    """Whatever it reads or computes; without our doing the plugin is imported, also where torch is told not to."""
    command = [sys.executable, "-c", "from transformers import AutoTokenizer, AutoModelForCausalLM"]
    subprocess.run(command, env=os.environ | {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}, capture_output=True)
    assert imported(told).is_file()
    imported(told).unlink()

    run_everything(published, tmp_path / "run")

    lines = told.read_text().splitlines()
    assert (
        lines == [f"{host_cores()} {host_cores()}"] * 6
    )  # scan, convert, scan, render, audit, reference with its floor
    assert not imported(told).exists()
