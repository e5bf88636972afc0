"""Requests as users write them, greedy and nothing else said: the server fills in what the model's files ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.headers import read_json
from npu_conformance.engines.openai.replies import Completion
from npu_conformance.engines.openai.serving.asked import COMPLETIONS, Asked, spread
from npu_conformance.traces.serving import Defaults

_PROMPTS = 8
_FILE = "generation_config.json"
# What vLLM takes of the file (`ModelConfig.get_diff_sampling_param`).
_TAKEN = ("repetition_penalty", "temperature", "top_k", "top_p", "min_p", "max_new_tokens")


def ask_defaults(asked: Asked, checkpoint: Path, options: Mapping[str, Any]) -> Defaults:
    """What the files declare, and the answers to requests that say nothing of sampling but greedy."""
    found = []
    indices = spread(range(len(asked.rendered.prompts)), _PROMPTS)
    for done, index in enumerate(indices):
        asked.progress("asking without saying more than greedy", done, len(indices))
        whole = asked.ids(index)
        plain = {name: whole[name] for name in ("model", "prompt", "max_tokens", "temperature", "return_token_ids")}
        found.append(asked.of_completion(index, asked.talk.good(COMPLETIONS, plain, Completion)))
    return Defaults(declared=declared(checkpoint, options), said=tuple(found))


def declared(checkpoint: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling that the server is to take where a request names none: the file's, then the options' on top.

    Raises:
        CheckpointError: the file cannot be read.
    """
    source = options.get("generation_config", "auto")
    folder = {"auto": checkpoint, "vllm": None}.get(source, Path(str(source)))
    told: dict[str, Any] = {}
    if folder is not None and (folder / _FILE).is_file():
        told = read_json(folder / _FILE, "it says how the server is to sample")
    told |= options.get("override_generation_config") or {}
    return {name: told[name] for name in _TAKEN if told.get(name) is not None}
