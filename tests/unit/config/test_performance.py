"""The `performance:` section of a YAML."""

from typing import Any

import pytest
from pydantic import ValidationError

from npu_conformance.config.model import ModelConfig
from npu_conformance.config.performance import FIGURES, Workload


def config(**changes: Any) -> ModelConfig:
    """A config with a section."""
    return ModelConfig.model_validate({"model": "a/b", **changes})


def test_it_is_off_unless_it_is_there() -> None:
    """An empty section takes the defaults."""
    assert config().performance is None
    asked = config(performance={}).performance
    assert asked is not None
    assert asked.workload == Workload()
    assert asked.min_ratio == {}


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"min_ratio": {"throughput": 0.9}}, "throughput: unknown figure"),
        ({"min_ratio": {"kv_cache_gib": 0.9}}, "kv_cache_gib: unknown figure"),
        ({"min_ratio": {"reference_tpot_ms": 0.9}}, "unknown figure"),
        ({"min_ratio": {"start_s": 0}}, "greater than 0"),
        ({"output_tokens": 1}, "greater than 1"),
        ({"requests": 0}, "greater than 0"),
        ({"request": 3}, "Extra inputs"),
    ],
)
def test_mistakes_are_named(section: dict[str, Any], told: str) -> None:
    """Sizes are no speed, and the reference's is none of the engine's."""
    with pytest.raises(ValidationError, match=told):
        config(performance=section)


def test_requests_must_fit_into_the_engine() -> None:
    """Said before anything starts."""
    config(performance={"input_tokens": 100, "output_tokens": 27}, serve={"max_model_len": 128})
    with pytest.raises(ValidationError, match="128 input_tokens and 64 output_tokens do not fit"):
        config(performance={}, serve={"max_model_len": 192})


def test_figures_are_of_four_kinds() -> None:
    """P50, P90 and P99 of each time that requests have."""
    assert {"single_ttft_p50_ms", "loaded_tpot_p99_ms", "latency_p90_ms"} <= set(FIGURES)
    assert set(FIGURES.values()) == {"rate", "time", "size", "ratio"}
