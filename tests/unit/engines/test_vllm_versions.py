"""What is read of vLLM's objects is found in the shapes that versions give them; what is not there is nothing."""

from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from npu_conformance.engines.vllm import versions


class Mode(Enum):
    """As vLLM names its modes."""

    NONE = 0
    VLLM_COMPILE = 3
    PIECEWISE = 1


def config(compilation: dict[str, Any], scheduler: dict[str, Any], **more: Any) -> Any:
    """A `VllmConfig` with parts of a version's shape; the others are as they always were."""
    model = SimpleNamespace(dtype="torch.bfloat16", enforce_eager=False, max_model_len=64, quantization=None)
    return SimpleNamespace(
        model_config=model,
        cache_config=SimpleNamespace(enable_prefix_caching=True, block_size=128),
        parallel_config=SimpleNamespace(tensor_parallel_size=2, pipeline_parallel_size=1, enable_expert_parallel=False),
        compilation_config=SimpleNamespace(**compilation),
        scheduler_config=SimpleNamespace(max_num_batched_tokens=256, max_num_seqs=8, **scheduler),
        **more,
    )


NEW = config(
    {"mode": Mode.VLLM_COMPILE, "cudagraph_mode": Mode.PIECEWISE},
    {"enable_chunked_prefill": True, "async_scheduling": True},
    additional_config={"weight_nz_mode": 2},
)
OLD = config({"level": 3}, {"chunked_prefill_enabled": True})
"""Before modes had names and scheduling could be asynchronous."""


@pytest.mark.parametrize(
    ("found", "differing"),
    [
        (
            NEW,
            {
                "compilation_mode": "VLLM_COMPILE",
                "cudagraph_mode": "PIECEWISE",
                "async_scheduling": True,
                "additional_config": {"weight_nz_mode": 2},
            },
        ),
        (OLD, {"compilation_mode": 3, "cudagraph_mode": None, "async_scheduling": None, "additional_config": {}}),
    ],
    ids=["new", "old"],
)
def test_a_config_is_read_in_either_shape(found: Any, differing: dict[str, Any]) -> None:
    """The same names, and what the shapes share is the same."""
    effective = versions.effective(found)

    assert effective == {
        "dtype": "bfloat16",
        "enforce_eager": False,
        "enable_prefix_caching": True,
        "enable_chunked_prefill": True,
        "block_size": 128,
        "max_model_len": 64,
        "max_num_batched_tokens": 256,
        "max_num_seqs": 8,
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 1,
        "enable_expert_parallel": False,
        "quantization": None,
        **differing,
    }
    assert versions.graphs_on(found)


@pytest.mark.parametrize("off", [{"mode": Mode.NONE, "cudagraph_mode": Mode.NONE}, {"level": 0}, {}])
def test_no_graphs_are_no_graphs(off: dict[str, Any]) -> None:
    """Whether a version says NONE, 0 or nothing."""
    assert not versions.graphs_on(config(off, {}))


def test_the_first_place_that_is_there_counts() -> None:
    """False and 0 are there, None is not; a path that breaks off leads nowhere."""
    fact = versions.Fact(("new.place", "old"), otherwise="nowhere")

    assert versions.read(SimpleNamespace(new=SimpleNamespace(place=False), old=1), fact) is False
    assert versions.read(SimpleNamespace(new=SimpleNamespace(place=None), old=0), fact) == 0
    assert versions.read(SimpleNamespace(new=None), fact) == "nowhere"


def test_a_request_has_the_id_that_its_engine_gave_it() -> None:
    """Or ours, where an engine gives none."""
    assert versions.own_request_id("7-abc", "7") == "7-abc"
    assert versions.own_request_id(None, "7") == "7"


def test_positions_are_found_by_name_or_place() -> None:
    """None where a forward pass is called with neither."""
    assert versions.positions_of((), {"positions": [1]}) == [1]
    assert versions.positions_of(("ids", [2]), {}) == [2]
    assert versions.positions_of(("ids",), {}) is None


def test_a_runner_of_another_make_has_no_batch() -> None:
    """Nothing is read of it, and nothing breaks."""
    assert {versions.read(SimpleNamespace(), fact) for fact in versions.RUNNER.values()} == {None, False}


def test_layers_with_a_lora_are_known_by_their_class() -> None:
    """Whatever they are put in place of."""
    made = type("RowParallelLinearWithLoRA", (), {})()

    assert versions.is_lora_layer(made)
    assert not versions.is_lora_layer(SimpleNamespace())
