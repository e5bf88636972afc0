"""The hook in real engines: it changes nothing, and holds the states that the logits come from."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]
ENGINE = """
import json, sys
from vllm import LLM, SamplingParams

def main(folder, eager, out):
    llm = LLM(
        folder, worker_extension_cls="npu_conformance.engines.vllm.layers.LayerHook", enforce_eager=eager,
        max_model_len=256, max_num_batched_tokens=64, max_num_seqs=4, enable_prefix_caching=False,
        logprobs_mode="raw_logits", max_logprobs=-1,
    )

    def run(name):
        logits, states, ids = {}, {}, {}
        for tokens, length in ((5, 2), (9, 3), (90, 4)):  # the last is prefilled in two chunks
            prompt = {"prompt_token_ids": [7 + (13 * tokens + 5 * i) % 300 for i in range(tokens)]}
            sampling = SamplingParams(temperature=0, max_tokens=length, logprobs=-1, ignore_eos=True)
            ids[llm.llm_engine.add_request(f"{tokens} tokens", prompt, sampling)] = f"{tokens} tokens"
        while llm.llm_engine.has_unfinished_requests():
            outputs = llm.llm_engine.step()
            found = llm.collective_rpc("sampled_states", args=(list(ids),))[0]
            for output in outputs:
                rows = output.outputs[0].logprobs
                logits[output.request_id] = [[row[token].logprob for token in sorted(row)] for row in rows]
            for request, state in (found or {}).items():
                states.setdefault(ids[request], []).append(state)
        return {"logits": logits, "states": states}

    found = {"as loaded": run("as loaded")}
    if eager:
        llm.collective_rpc("start_layer_hook", args=(64,))
        found["hooked"] = run("hooked")
        llm.collective_rpc("stop_layer_hook")
        found["stopped"] = run("stopped")
    with open(out, "w") as file:
        json.dump(found, file)

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "eager", sys.argv[3])
"""


def engine(folder: Path, workplace: Path, mode: str, **environment: str) -> dict[str, Any]:
    """What an engine in a process of its own found: by phase its logits and states by request."""
    script, out = workplace / f"{mode}.py", workplace / f"{mode}.json"
    script.write_text(ENGINE)
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    words = [sys.executable, str(script), str(folder), mode, str(out)]
    ended = subprocess.run(words, env=os.environ | settings | environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.fixture(scope="module")
def eager(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An eager engine before, while and after it was hooked."""
    return engine(twin, tmp_path_factory.mktemp("eager"), "eager")


def test_an_eager_engine_computes_the_same_with_the_tap(eager: dict[str, Any]) -> None:
    """To the bit; the hook sees each token that was sampled, and no chunk of a prompt."""
    assert eager["as loaded"]["logits"] == eager["hooked"]["logits"] == eager["stopped"]["logits"]
    assert eager["as loaded"]["states"] == eager["stopped"]["states"] == {}
    states = eager["hooked"]["states"]
    assert {request: len(steps) for request, steps in states.items()} == {"5 tokens": 2, "9 tokens": 3, "90 tokens": 4}
    assert all(len(step) == 6 for steps in states.values() for step in steps)


def test_the_states_are_those_the_logits_come_from(eager: dict[str, Any], twin: Path) -> None:
    """Final norm times head is the row of the very token that was sampled."""
    from safetensors import safe_open

    index = json.loads((twin / "config.json").read_text())
    name = "model.embed_tokens.weight" if index["tie_word_embeddings"] else "lm_head.weight"
    with safe_open(twin / "model.safetensors", "pt") as file:
        head = file.get_tensor(name).float().numpy()
    for request, steps in eager["hooked"]["states"].items():
        rows = np.array(eager["hooked"]["logits"][request])
        states = np.array([step["final norm"] for step in steps])
        np.testing.assert_allclose(states @ head.T, rows, atol=0.02 * np.abs(rows).max())


def test_compiled_code_is_tapped(eager: dict[str, Any], twin: Path, tmp_path: Path) -> None:
    """Each step, decoding too: not only the pass in which the model was traced."""
    found = engine(twin, tmp_path, "compiled", NPU_CONFORMANCE_TAP="64")["as loaded"]["states"]
    assert found.keys() == eager["hooked"]["states"].keys()
    for request, steps in eager["hooked"]["states"].items():
        for step, compiled in zip(steps, found[request], strict=True):
            assert step.keys() == compiled.keys()
            for point, state in step.items():
                distance = np.linalg.norm(np.subtract(compiled[point], state)) / np.linalg.norm(state)
                assert distance < 0.05, (request, point)
