"""Hidden states of a vLLM engine at the last token of its first prompts, and states by point as an array."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from npu_conformance.errors import TraceError
from npu_conformance.traces.layers import Layers

if TYPE_CHECKING:
    from npu_conformance.engines.vllm.engine_run import EngineRun


def layers_at(asked: "EngineRun") -> Layers | None:
    """Hidden states at the last token of the first prompts, one request at a time."""
    from vllm import SamplingParams

    llm, one = asked.generator.llm, SamplingParams(temperature=0.0, max_tokens=1)
    found: list[dict[str, list[float]]] = []
    prompts = asked.rendered.prompt_ids[: asked.job.layer_prompts]
    llm.collective_rpc("start_layer_hook", args=(max(map(len, prompts)),))
    for ids in prompts:
        llm.generate([{"prompt_token_ids": list(ids)}], one, use_tqdm=False, lora_request=asked.generator.lora)
        states = llm.collective_rpc("hidden_states", args=(len(ids),))[0]
        if states is None:
            break
        found.append(states)
    llm.collective_rpc("stop_layer_hook")
    return as_layers(found) if found else None


def as_layers(found: Sequence[dict[str, list[float]] | None]) -> Layers:
    """States by point as an array.

    Raises:
        TraceError: those of a position are missing.
    """
    states = [one for one in found if one is not None]
    if not states or len(states) < len(found):
        raise TraceError(
            f"hidden states of {len(found) - len(states)} of {len(found)} positions could not be read: the model has "
            "no decoder of the usual make, its layers lie on several ranks, its batch is more than the hook keeps, or "
            "it schedules asynchronously"
        )
    points = tuple(states[0])
    return Layers(points, np.array([[one[point] for point in points] for one in states], dtype=np.float32))
