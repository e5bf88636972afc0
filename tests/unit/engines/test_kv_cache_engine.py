"""The KV cache as it is worked out from config.json, against a real engine's; and engines that follow one another."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.machine.capacity import GIB
from npu_conformance.run.kv_cache import needed_bytes
from tests.unit.helpers.suite_runs import ROOT, clean_environment

pytestmark = [pytest.mark.engine, pytest.mark.slow]

# Untrained, in a process of its own: what its cache is made of does not depend on weights.
MAKE = """
import sys
from pathlib import Path
from npu_conformance.config.prompts import SHIPPED
from npu_conformance.twins.corpus import words
from npu_conformance.twins.networks import new_network, save_network
from npu_conformance.twins.recipes import RECIPES
from npu_conformance.twins.tokenizer import save_tokenizer, train_tokenizer
recipe, folder = RECIPES[sys.argv[1]], Path(sys.argv[2])
tokenizer = train_tokenizer(words(recipe, SHIPPED), recipe.vocabulary, recipe.chat)
save_network(new_network(recipe, tokenizer), tokenizer, folder, pickled=False)
save_tokenizer(tokenizer, folder)
"""
START = """
import json, sys
from vllm import LLM
llm = LLM(model=sys.argv[1], dtype="bfloat16", enforce_eager=True, max_model_len=512, enable_prefix_caching=False)
cache = llm.llm_engine.vllm_config.cache_config
print("FOUND", json.dumps([cache.block_size, cache.num_gpu_blocks]))
"""

# As a series of jobs does it, by the suite's own start and close; MiB of the process with each engine, and after it.
SERIES = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from npu_conformance.engines.vllm import engine as vllm

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))

def follow():
    job = SimpleNamespace(device=None, checkpoint=Path(sys.argv[1]), mode="generate", trust_remote_code=False)
    llm = vllm.start(job, {"dtype": "bfloat16", "enforce_eager": True, "max_model_len": 512})
    full = held()
    vllm.close(llm)
    return full

print("FOUND", json.dumps([[follow(), held()] for _ in range(3)]))
"""


def run(code: str, *words: str, **environment: str) -> str:
    """What a script prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env=clean_environment(HF_HUB_OFFLINE="1", **environment),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def found(printed: str) -> Any:
    """What a script found."""
    return json.loads(next(line for line in printed.splitlines() if line.startswith("FOUND ")).removeprefix("FOUND "))


@pytest.mark.parametrize("recipe", ["qwen3-guard", "qwen3.5"])
def test_a_block_takes_what_is_counted(tmp_path: Path, recipe: str) -> None:
    """An engine with 1 GiB has as many blocks as go into it by our count, for plain attention and with states."""
    folder = tmp_path / "model"
    run(MAKE, recipe, str(folder))
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    block, blocks = found(run(START, str(folder), **settings))

    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    options = {"num_gpu_blocks_override": blocks, "dtype": "bfloat16"}
    counted = needed_bytes(config.get("text_config", config), options, ())
    assert 0.98 * GIB < counted <= 1.02 * GIB
    assert block >= 128


def test_engines_of_one_process_do_not_add_up(tmp_path: Path) -> None:
    """Three with 2 GiB of KV cache, which is really held, take no more than the first did: each gives it back."""
    folder = tmp_path / "model"
    run(MAKE, "qwen3-guard", str(folder))
    settings = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    (first, after), *_, (last, end) = found(run(SERIES, str(folder), **settings))

    assert first - after > 1800
    assert last - first < 500
    assert last - end > 1800
