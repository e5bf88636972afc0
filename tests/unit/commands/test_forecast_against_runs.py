"""A forecast is held against what a run took."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.commands.plan.forecast import forecast
from npu_conformance.commands.plan.totals import totals
from tests.unit.helpers.forecasts import real
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

# Qwen3-0.6B's shape: 28 layers and an embedding that is the head too.
SHAPE: dict[str, Any] = {
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
}
SIZES = {"embed": 151_936 * 1024, "body": 440_467_456}
PROMPTS = "prompts: [general, {set: chinese, chat: false}, {set: code, chat: false}, {set: maths, chat: false}, long]\n"


@pytest.fixture
def shape(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights of 0.6B that are not there, on 2 cores with bfloat16 instructions."""
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    tensors = {name: Tensor((size,), "BF16", tmp_path / "model.safetensors") for name, size in SIZES.items()}
    monkeypatch.setattr(
        "npu_conformance.commands.plan.steps.inspect", lambda folder: Checkpoint(folder, SHAPE, tensors)
    )
    monkeypatch.setattr("npu_conformance.commands.plan.steps.weight_bytes", lambda _: 2 * sum(SIZES.values()))
    monkeypatch.setattr("npu_conformance.run.cost.computes_in", lambda _: True)
    for module in ("run.cost", "commands.plan.estimate"):
        monkeypatch.setattr(f"npu_conformance.{module}.matmul_rate", lambda: 180e9)
    write(tmp_path / "models" / "org" / "Real", LLAMA, llama())


@pytest.mark.usefixtures("shape")
def test_a_model_of_real_size(own_configs: Path, tmp_path: Path) -> None:
    """44 prompts of 48 tokens in four variants took 482 s: engines 257, a reference with its floor 66 to 96.

    What two more variants these were was not noted, nor that machine's rate: 180 GFLOP/s is another's with 2 cores.
    """
    served = "serve: {max_model_len: 2048}\nvariants: [graph, prefix_caching]\n"
    session = real(own_configs, tmp_path, served + PROMPTS)
    found = forecast(session, {"Real": session.variants("Real")})
    engines = sum(step.take.seconds for step in found.of("engine"))
    whole = totals(found, tmp_path / "cache", tmp_path / "reports").seconds

    assert "44 sequences" in found.of("reference")[0].about
    assert 257 / 1.5 < engines < 257 * 1.5
    assert 482 / 1.5 < whole < 482 * 1.5


@pytest.mark.usefixtures("shape")
def test_what_base_chose_too_is_not_computed_again(own_configs: Path, tmp_path: Path) -> None:
    """Of whichever comes second; its rows count in full, for it may choose others."""
    session = real(own_configs, tmp_path, PROMPTS)
    both, alone = (forecast(session, {"Real": chosen}) for chosen in (("base", "as_served"), ("as_served",)))
    first, second = both.of("reference")
    (only,) = alone.of("reference")

    assert second.take.seconds < first.take.seconds / 2
    assert (second.take.disk, only.take.seconds) == (first.take.disk, first.take.seconds)
    assert [step.take.seconds > 0 for step in both.of("noise floor")] == [True, False]
    assert [step.kind for step in both.steps][:: len(both.steps) - 1] == ["preparation", "judging"]
