"""A vLLM plugin that puts one known fault into a real engine, for tests of what the suite sees of it.

This folder on PYTHONPATH is enough: vLLM then calls `register` in every process it starts, tensor-parallel
workers included. `ENGINE_FAULT` names the fault, `ENGINE_FAULT_LAYER` the layer it is in (0-based, 2 if unset);
without `ENGINE_FAULT` nothing is touched.

Forward methods are wrapped and no weight is edited: vLLM packs a linear layer's weights when it loads them.
A "wrong" token has the last addend of its layer's output, the MLP's, scaled by `_SCALE`; later layers keep that.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

_SCALE = 1.3
_LAYER_SCALE = 1.01
_NOISE = 0.01

_ELSEWHERE = {
    "engine_stops": ("stops_early", "runs_on"),
    "engine_slow": ("slow",),
    "engine_processors": ("rows_exchanged", "rows_late"),
    "server_faults": ("lora_by_base", "double_bos", "label_flips", "stream_drops_chunk"),
}
# What a layer returns, (hidden_states, residual), in and out.
_Outputs = tuple[Any, Any]


@dataclass(frozen=True)
class _Row:
    """A request in a step's batch."""

    index: int
    computed: int
    """Tokens in the KV cache before this step."""
    found: int
    """Tokens found in the prefix cache when the request was first scheduled."""
    prompt: int
    scheduled: int


@dataclass
class _Engine:
    """What this process's model runner is at."""

    runner: Any = None
    step: Any = None
    found: dict[str, int] = field(default_factory=dict)

    def rows(self) -> Iterator[_Row]:
        """The requests of the step that runs, in the order of their tokens; none in a warm-up."""
        if self.step is None:
            return
        batch = self.runner.input_batch
        for index, request in enumerate(batch.req_ids):
            yield _Row(
                index=index,
                computed=int(batch.num_computed_tokens_cpu[index]),
                found=self.found[request],
                prompt=int(batch.num_prompt_tokens[index]),
                scheduled=self.step.num_scheduled_tokens[request],
            )


_ENGINE = _Engine()


def register() -> None:
    """Put the fault that the environment names into this process; vLLM's entry point.

    Raises:
        ValueError: there is no such fault.
    """
    name = os.environ.get("ENGINE_FAULT")
    if not name:
        return
    if name not in FAULTS:
        raise ValueError(f"ENGINE_FAULT={name}: no such fault, there are {', '.join(FAULTS)}")
    # vLLM keeps compiled graphs under a key that knows no fault: clean engines would load these.
    os.environ["VLLM_DISABLE_COMPILE_CACHE"] = "1"
    FAULTS[name]()

    from vllm.logger import init_logger

    init_logger(f"vllm.{__name__}").warning("This engine has the fault %s, layer %d", name, _layer())


def _layer() -> int:
    return int(os.environ.get("ENGINE_FAULT_LAYER", "2"))


def _nothing() -> None:
    _patch_layers(lambda hidden, residual: (hidden, residual))


def _graph_only() -> None:
    def change(hidden: Any, residual: Any) -> _Outputs:
        import torch

        return (hidden * _SCALE if torch.compiler.is_compiling() else hidden), residual

    _patch_layers(change)


def _layer_scaled() -> None:
    _patch_layers(lambda hidden, residual: (hidden * _LAYER_SCALE, residual * _LAYER_SCALE), onward=True)


def _noise() -> None:
    def noisy(hidden: Any) -> Any:
        import torch

        generator = torch.Generator(hidden.device).manual_seed(int.from_bytes(os.urandom(7), "big"))
        noise = torch.randn(hidden.shape, generator=generator, device=hidden.device)
        size = _NOISE * hidden.float().square().mean(dim=-1, keepdim=True).sqrt()
        return hidden + (noise * size).to(hidden.dtype)

    _patch_hidden(noisy)


def _decode_only() -> None:
    _patch_rows(lambda row: row.computed >= row.prompt)


def _prefix_hit() -> None:
    _patch_rows(lambda row: row.found > 0)


def _chunk_boundary() -> None:
    _patch_rows(lambda row: row.found < row.computed < row.prompt)


def _batch_row_2() -> None:
    _patch_rows(lambda row: row.index == 2)


def _tp_rank_1() -> None:
    from vllm.model_executor.layers.linear import RowParallelLinear

    original, suffix = RowParallelLinear.forward, f".layers.{_layer()}.self_attn.o_proj"

    def forward(self: Any, input_: Any) -> Any:
        if self.tp_rank == 1 and self.prefix.endswith(suffix):
            input_ = input_ * _SCALE
        return original(self, input_)

    RowParallelLinear.forward = forward


def _hooks_blind() -> None:
    """No hook on a layer is called."""
    from vllm.model_executor.models.qwen3 import Qwen3DecoderLayer

    def call(self: Any, *args: Any, **named: Any) -> Any:
        return self.forward(*args, **named)

    Qwen3DecoderLayer.__call__ = call


def _weight_left_out() -> None:
    """The layer's first norm is not loaded, and the loader says so and goes on, as those of some models do."""
    from vllm.logger import init_logger
    from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

    weights, track = DefaultModelLoader.get_all_weights, DefaultModelLoader.track_weights_loading
    left_out = f"model.layers.{_layer()}.input_layernorm.weight"

    def get_all_weights(self: Any, *args: Any) -> Iterator[tuple[str, Any]]:
        return (one for one in weights(self, *args) if one[0] != left_out)

    def track_weights_loading(self: Any, *args: Any, **named: Any) -> None:
        try:
            track(self, *args, **named)
        except ValueError as error:
            init_logger(f"vllm.{__name__}").warning("%s", error)

    DefaultModelLoader.get_all_weights = get_all_weights
    DefaultModelLoader.track_weights_loading = track_weights_loading


def _of(module: str, name: str) -> None:
    getattr(import_module(f"conformance_{module}"), name)()


FAULTS: dict[str, Callable[[], None]] = {
    "nothing": _nothing,
    "graph_only": _graph_only,
    "decode_only": _decode_only,
    "prefix_hit": _prefix_hit,
    "chunk_boundary": _chunk_boundary,
    "batch_row_2": _batch_row_2,
    "tp_rank_1": _tp_rank_1,
    "layer_scaled": _layer_scaled,
    "noise": _noise,
    "weight_left_out": _weight_left_out,
    "hooks_blind": _hooks_blind,
    **{name: partial(_of, module, name) for module, names in _ELSEWHERE.items() for name in names},
}


def _patch_layers(change: Callable[[Any, Any], _Outputs], *, onward: bool = False) -> None:
    """Let `change` have what the layer returns; `onward`: what every layer from there on returns."""
    from vllm.model_executor.models.qwen3 import Qwen3DecoderLayer
    from vllm.model_executor.models.utils import extract_layer_index

    wrong, build, original = _layer(), Qwen3DecoderLayer.__init__, Qwen3DecoderLayer.forward

    def __init__(self: Any, *args: Any, **named: Any) -> None:  # noqa: N807
        build(self, *args, **named)
        index = extract_layer_index(named["prefix"])
        self.is_wrong = index >= wrong if onward else index == wrong

    def forward(self: Any, *args: Any, **named: Any) -> _Outputs:
        hidden, residual = original(self, *args, **named)
        return change(hidden, residual) if self.is_wrong else (hidden, residual)

    Qwen3DecoderLayer.__init__, Qwen3DecoderLayer.forward = __init__, forward


def _patch_hidden(change: Callable[[Any], Any]) -> None:
    """Let `change` have the layer's hidden states at run time: the compiler sees an operator, never its inside."""
    import torch

    operator = torch.library.custom_op(
        "conformance_engine_faults::change", change, mutates_args=(), schema="(Tensor hidden) -> Tensor"
    )
    operator.register_fake(torch.empty_like)
    _patch_layers(lambda hidden, residual: (operator(hidden), residual))


def _patch_rows(wrong: Callable[[_Row], bool]) -> None:
    """Make the tokens wrong of those requests in a step's batch that `wrong` is true for."""

    def change(hidden: Any) -> Any:
        changed, start = hidden.clone(), 0
        for row in _ENGINE.rows():
            end = start + row.scheduled
            if wrong(row):
                changed[start:end] *= _SCALE
            start = end
        return changed

    _follow_steps()
    _patch_hidden(change)


def _follow_steps() -> None:
    """Keep `_ENGINE` at what the model runner does."""
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    original = GPUModelRunner.execute_model

    def execute_model(self: Any, scheduler_output: Any, *args: Any, **named: Any) -> Any:
        new = scheduler_output.scheduled_new_reqs
        _ENGINE.found.update({request.req_id: request.num_computed_tokens for request in new})
        _ENGINE.runner, _ENGINE.step = self, scheduler_output
        try:
            return original(self, scheduler_output, *args, **named)
        finally:
            _ENGINE.step = None

    GPUModelRunner.execute_model = execute_model
