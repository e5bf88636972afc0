"""The KV cache as it is worked out from config.json, against a real engine's; and engines that follow one another."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.run.kv_cache import GIB, needed_bytes

from .suite_runs import ROOT, clean_environment

pytestmark = [pytest.mark.engine, pytest.mark.slow]

# Untrained, in a process of its own: what its cache is made of does not depend on weights.
MAKE = """
import sys
from pathlib import Path
from npu_conformance.twins.corpus import words
from npu_conformance.twins.networks import new_network, save_network
from npu_conformance.twins.recipes import RECIPES
from npu_conformance.twins.tokenizer import save_tokenizer, train_tokenizer
recipe, folder = RECIPES[sys.argv[1]], Path(sys.argv[2])
tokenizer = train_tokenizer(words(recipe, Path("model_configs/prompts")), recipe.vocabulary, recipe.chat)
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


@pytest.mark.parametrize("recipe", ["qwen3-guard", "qwen3.5"])
def test_a_block_takes_what_is_counted(tmp_path: Path, recipe: str) -> None:
    """An engine with 1 GiB has as many blocks as go into it by our count, for plain attention and with states."""
    folder = tmp_path / "model"
    run(MAKE, recipe, str(folder))
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    printed = run(START, str(folder), **settings)
    line = next(line for line in printed.splitlines() if line.startswith("FOUND "))
    block, blocks = json.loads(line.removeprefix("FOUND "))

    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    options = {"num_gpu_blocks_override": blocks, "dtype": "bfloat16"}
    counted = needed_bytes(config.get("text_config", config), options, ())
    assert 0.98 * GIB < counted <= 1.02 * GIB
    assert block >= 128
