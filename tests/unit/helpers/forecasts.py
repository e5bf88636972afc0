"""Sessions whose forecasts are tested, and what is read off a forecast."""

from pathlib import Path
from typing import Any

from npu_conformance.commands.plan.forecast import Forecast
from npu_conformance.commands.plan.step import Kind
from npu_conformance.commands.plan.text import forecast_lines
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator

VARIANTS = "[graph, prefix_caching, fresh_engine, spec_decode, long_prompt, {name: few, options: {max_num_seqs: 4}}]"


def session_of_twins(own_configs: Path, tmp_path: Path, cache: Path) -> Session:
    """A session on a CPU of twins, none of them built, and of a real model whose weights are missing."""
    assert not cache.exists()
    (own_configs / "Guard.yaml").write_text(f"model: org/Guard\ntwin: qwen3-guard\nvariants: {VARIANTS}\n")
    (own_configs / "FP8.yaml").write_text("model: org/FP8\ntwin: qwen3-fp8\nconvert: bfloat16\n")
    (own_configs / "Also.yaml").write_text(
        "model: org/A\ntwin: bitcpm4\nreference: {also: bfloat16}\nvariants: [graph]\n"
    )
    many = "{name: many, options: {tensor_parallel_size: 4096}}"
    (own_configs / "Many.yaml").write_text(f"model: org/Many\ntwin: qwen3-guard\nvariants: [ep, {many}]\n")
    lora = "model: org/Lora\nadapter: org/Its\ntwin: qwen3.5-condenser\nprompts: [condense]\n"
    (own_configs / "Lora.yaml").write_text(lora)
    (own_configs / "Two.yaml").write_text("model: org/Two\ntwin: qwen3-guard\nvariants: [tp2]\n")
    (own_configs / "Lone.yaml").write_text("model: org/Lone\n")
    settings = Settings(configs=own_configs, twin=True, device="cpu")
    return Session(settings, tmp_path / "reports" / "now", Narrator())


def real(own_configs: Path, tmp_path: Path, text: str, **settings: Any) -> Session:
    """A session of one model with weights."""
    (own_configs / "Real.yaml").write_text(f"model: org/Real\n{text}")
    found = Settings(configs=own_configs, models_root=tmp_path / "models", device="cpu", **settings)
    return Session(found, tmp_path / "reports" / "now", Narrator())


def names(found: Forecast, kind: Kind) -> list[str]:
    """The names of the steps of a kind."""
    return [step.name for step in found.of(kind)]


def lines(found: Forecast, tmp_path: Path, width: int = 180) -> str:
    """The forecast as it is shown."""
    return "\n".join(forecast_lines(found, tmp_path / "cache", tmp_path / "reports", width))
