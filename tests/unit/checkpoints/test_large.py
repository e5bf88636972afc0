"""A checkpoint of 400 GB, whose files are holes: its headers are read in seconds and in little memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, llama, write

SHARDS, EXPERTS = 160, 534
CONFIG = LLAMA | {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 4096,
    "num_hidden_layers": 62,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 8192,
    "moe_intermediate_size": 512,
    "num_experts": EXPERTS,
    "vocab_size": 151936,
}


def experts() -> Shapes:
    """Routed experts in each layer."""
    shapes = {"gate": (512, 4096), "up": (512, 4096), "down": (4096, 512)}
    return {
        f"model.layers.{layer}.mlp.experts.{expert}.{name}_proj.weight": ("BF16", shape)
        for layer in range(CONFIG["num_hidden_layers"])
        for expert in range(EXPERTS)
        for name, shape in shapes.items()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """100,000 tensors in 160 shards with their index."""
    plain = {name: entry for name, entry in llama(CONFIG).items() if ".mlp." not in name}
    tensors = list((plain | experts()).items())
    places: dict[str, str] = {}
    for shard in range(SHARDS):
        part, file = dict(tensors[shard::SHARDS]), f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        write(tmp_path, CONFIG, part, file)
        places |= dict.fromkeys(part, file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return tmp_path


def doctor(folder: Path) -> tuple[float, int]:
    """Seconds of processor time that the command took, and the most memory in kB."""
    program = (
        "import resource, sys; from npu_conformance.__main__ import main; status = main(); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr); raise SystemExit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the headers of 160 files" in done.stdout
    seconds, memory = done.stderr.split()
    return float(seconds), int(memory)


@pytest.mark.slow
def test_doctor_reads_the_headers_in_seconds(folder: Path) -> None:
    """Under 5 s of processor time and 400 MB; the better of two, because what else runs here slows both."""
    (first, _), (second, memory) = doctor(folder), doctor(folder)

    print(f"{first:.1f} s, {second:.1f} s, {memory / 1000:.0f} MB")
    assert min(first, second) < 5
    assert memory < 400_000
