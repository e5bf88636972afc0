"""The `performance:` section of a model config, and the figures that it may give limits."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from npu_conformance.config.mistakes import did_you_mean
from npu_conformance.config.serve import Requests, Section, Tokens

Kind = Literal["rate", "time", "size", "ratio"]
"""What a figure is: per second, the more the better; seconds or milliseconds, the less the better; or neither."""
PERCENTILES = (50, 90, 99)


def _times(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_p{percentile}_ms" for percentile in PERCENTILES)


def _served(name: str) -> dict[str, Kind]:
    """Of `vllm bench serve` with so many requests at once."""
    times = (one for what in ("ttft", "tpot", "latency") for one in _times(f"{name}_{what}"))
    rates: dict[str, Kind] = {f"{name}_tokens_per_s": "rate", f"{name}_requests_per_s": "rate"}
    return {**dict.fromkeys(times, "time"), **rates}


FIGURES: dict[str, Kind] = {
    **dict.fromkeys(_times("latency"), "time"),
    "throughput_tokens_per_s": "rate",
    "throughput_requests_per_s": "rate",
    **_served("single"),
    **_served("loaded"),
    "start_s": "time",
    "weights_s": "time",
    "load_s": "time",
    "compile_s": "time",
    "graph_s": "time",
    "init_s": "time",
    "weights_gib": "size",
    "graph_gib": "size",
    "kv_cache_gib": "size",
    "kv_cache_tokens": "size",
    "reference_tpot_ms": "time",
    "speed_over_reference": "ratio",
}
"""All that is measured, in the order in which it is shown. `single` is one request at a time, `loaded` several."""
LOGGED = tuple(FIGURES)[tuple(FIGURES).index("start_s") + 1 : tuple(FIGURES).index("reference_tpot_ms")]
"""Those that an engine's log says, where it says them."""
LIMITED = tuple(name for name, kind in FIGURES.items() if kind in ("rate", "time") and "reference" not in name)
"""Those that are held against a baseline, and may have a limit."""


class Workload(Section):
    """What the engine is asked, the same in the run and in its baseline."""

    input_tokens: Tokens = 128
    """Tokens of a prompt; they are random."""
    output_tokens: Annotated[int, Field(gt=1, le=2**20, strict=True)] = 64
    """Tokens of an answer; it does not end before."""
    requests: Requests = 32
    """Requests of `vllm bench throughput` and of each `vllm bench serve`."""
    concurrency: Requests = 8
    """Requests at once in the second `vllm bench serve`; the first has one at a time."""
    iterations: Requests = 10
    """Iterations of `vllm bench latency`, a request each, after two that do not count."""
    reference_tokens: Annotated[int, Field(ge=0, le=2**16, strict=True)] = 16
    """Tokens that the reference decodes on the CPU, for the engine's speed over its; 0: it does not."""


class Performance(Workload):
    """Speed of the engine as it is served, measured by `vllm bench` when the section is there."""

    min_ratio: dict[str, Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]] = Field({})
    """The least speed over the baseline's, by figure: 0.9 allows a tenth less. Without a limit it is shown only."""

    @field_validator("min_ratio")
    @classmethod
    def _known(cls, limits: dict[str, float]) -> dict[str, float]:
        for name in limits:
            if name not in LIMITED:
                told = f"{name}: unknown figure{did_you_mean(name, LIMITED)} (figures: {', '.join(LIMITED)})"
                raise ValueError(told)
        return limits

    @property
    def workload(self) -> Workload:
        """Without limits."""
        return Workload(**{name: getattr(self, name) for name in Workload.model_fields})


def refuse_too_long(asked: Performance | None, longest: int | None) -> None:
    """Refuse requests that are longer than the engine takes.

    Args:
        asked: the section.
        longest: tokens of the engine's longest request, where they are given.

    Raises:
        ValueError: they do not fit.
    """
    if asked is not None and longest is not None and asked.input_tokens + asked.output_tokens >= longest:
        raise ValueError(
            f"performance: {asked.input_tokens} input_tokens and {asked.output_tokens} output_tokens do not fit into "
            f"serve.max_model_len {longest}: ask for fewer"
        )
