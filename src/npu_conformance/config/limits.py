"""The figures a report shows, and the limits they have by default, per dtype of the candidate.

Limits of bfloat16 are those of the published reports where they state one (agreement, cosine, Pearson, KL).
Rounding to bfloat16 costs up to 2**-8 relative, to float16 2**-11, to float32 2**-24: the other columns follow
from that, a figure that grows with the error by 8 and one that grows with its square by 64, rounded to the
lenient side. The largest relative error of any position may be five times the mean's limit: wide for rounding,
narrow for a row that is wrong. `None` means: shown, not asserted, unless a model config gives a limit.
"""

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["bfloat16", "float16", "float32"]
"""Of a candidate."""
ReferenceDtype = Literal["bfloat16", "float16", "float32", "float64"]
"""Of what transformers computes: twice as wide as a float32 candidate's, where a float32 reference rounds as much."""
Relation = Literal[">=", "<="]
"""How a value must stand to its limit."""


def keeps(observed: float, limit: float, relation: Relation) -> bool:
    """Whether a value keeps a limit. NaN never does."""
    return observed >= limit if relation == ">=" else observed <= limit


@dataclass(frozen=True)
class Figure:
    """A number published about a run."""

    name: str
    """Its key in a model config's `limits`, and its metric's id; the words for it are in `report.words.metrics`."""
    sense: Literal["min", "max"]
    """`min`: the limit is the least value allowed; `max`: the greatest."""
    defaults: tuple[float | None, float | None, float | None]
    """Limits for bfloat16, float16, float32."""
    style: Literal["percent", "fixed", "scientific"] = "fixed"
    of: str | None = None
    """What it is made of, position by position: a field of `measure.kernel.Measured`, or `matches`; None where a check
    makes it by itself."""
    reduce: Literal["mean", "min", "max", "p99"] = "mean"
    least: float = 0.0
    """No limit below this means anything."""
    scatters: bool = False
    """Whether positions scatter too much for an interval of their mean at a dozen prompts."""

    @property
    def relation(self) -> Relation:
        """How a value must stand to the limit."""
        return ">=" if self.sense == "min" else "<="

    @property
    def range(self) -> tuple[float, float]:
        """The limits that mean something: of a share or a cosine 0 to 1, of an error 0 and more."""
        return self.least, 1.0 if self.sense == "min" else float("inf")

    def default_limit(self, dtype: Dtype) -> float | None:
        """The limit when the model config gives none; None when the figure is only shown."""
        return self.defaults[("bfloat16", "float16", "float32").index(dtype)]

    def within(self, observed: float, limit: float) -> bool:
        """Whether a value keeps the limit (see `keeps`)."""
        return keeps(observed, limit, self.relation)


AGREEMENT_FIGURES = (
    Figure("token_agreement", "min", (0.99, 0.995, 0.999), "percent", of="matches"),
    Figure("top5_overlap", "min", (None, None, None), "percent", of="top5", scatters=True),
)
CLOSENESS_FIGURES = (
    Figure("cosine_mean", "min", (0.999, 0.99998, 0.999999), of="cosine"),
    Figure("cosine_min", "min", (0.999, 0.99998, 0.999999), of="cosine", reduce="min"),
    Figure("pearson_mean", "min", (0.999, 0.99998, 0.999999), of="pearson"),
    Figure("relative_l2_mean", "max", (0.02, 0.0025, 1e-4), "percent", of="relative_l2"),
    Figure("relative_l2_max", "max", (0.1, 0.0125, 5e-4), "percent", of="relative_l2", reduce="max"),
    Figure("kl_mean", "max", (0.01, 2e-4, 1e-6), "scientific", of="kl", scatters=True),
    Figure("kl_p99", "max", (None, None, None), "scientific", of="kl", reduce="p99"),
    Figure("kl_max", "max", (None, None, None), "scientific", of="kl", reduce="max"),
    Figure("max_abs_diff", "max", (None, None, None), "scientific", of="max_abs", reduce="max"),
    Figure("mean_abs_diff", "max", (None, None, None), "scientific", of="mean_abs"),
)
LAYER_COSINE = Figure(
    "hidden_cosine_min",
    "min",
    (0.99, 0.9998, 0.99999),
)
# Roundings of a row's elements have no common sign, so its norm errs by less than one of them does at most.
LAYER_NORM = Figure(
    "hidden_norm_max",
    "max",
    (2.0**-8, 2.0**-11, 1e-5),
    "percent",
)
LAYER_FIGURES = (LAYER_COSINE, LAYER_NORM)
# What the candidate's quantisation costs by itself, against the same reference: limits go by its scheme.
QUANTISATION_FIGURES = (
    Figure("quantisation_l2_mean", "max", (None, None, None), "percent", of="relative_l2"),
    Figure("quantisation_kl_mean", "max", (None, None, None), "scientific", of="kl", scatters=True),
    Figure("quantisation_agreement", "min", (None, None, None), "percent", of="matches"),
)
# Of two engines that round alike the errors add to 2; other kernels may err by twice base's.
# tests/unit/whole/test_clean_runs.py holds ten prompt sets of a twin to it.
VARIANT_SPREAD = Figure(
    "variant_spread",
    "max",
    (3.0, 3.0, 3.0),
)
Scheme = Literal["w8a8", "w4a8"]
# By quantisation scheme of a candidate whose reference is the unquantised original: two to three times what rounding
# weights (int8 a channel, int4 a group of 128) and activations (int8 a token) cost the Qwen3 twin. Starting points:
# no NPU run stands behind them.
SCHEME_LIMITS: dict[Scheme, dict[str, float]] = {
    "w8a8": {
        "token_agreement": 0.97,
        "cosine_mean": 0.999,
        "cosine_min": 0.98,
        "pearson_mean": 0.999,
        "relative_l2_mean": 0.05,
        "relative_l2_max": 0.3,
        "kl_mean": 0.02,
        "hidden_cosine_min": 0.95,
        "hidden_norm_max": 0.03,
        "quantisation_l2_mean": 0.05,
        "quantisation_kl_mean": 0.02,
        "quantisation_agreement": 0.97,
    },
    "w4a8": {
        "token_agreement": 0.9,
        "cosine_mean": 0.95,
        "cosine_min": 0.75,
        "pearson_mean": 0.95,
        "relative_l2_mean": 0.4,
        "relative_l2_max": 0.97,
        "kl_mean": 0.2,
        "hidden_cosine_min": 0.7,
        "hidden_norm_max": 0.2,
        "quantisation_l2_mean": 0.4,
        "quantisation_kl_mean": 0.2,
        "quantisation_agreement": 0.9,
    },
}
# In units of the noise floor, so the same for dtypes below float32. Of the five twins' variants the floor's own
# floor runs came to 0.6 to 1.03, 0.03 and 1.04 (see docs/verdict.md); others' kernels have room besides. In float32
# errors are those of sums, whose order each engine chooses: vLLM's for a CPU is 1.5 floors off on a twin. 4 is 2 of 24
# bits: arithmetic of 11 or 8 bits is thousands off.
NOISE_FIGURES = (
    Figure("error_over_floor", "max", (1.2, 1.2, 4.0)),
    Figure("sets_over_floor", "max", (1.2, 1.2, 4.0)),
    Figure(
        "peak_over_floor",
        "max",
        (1.2, 1.2, 4.0),
    ),
    Figure("signed_bias", "max", (0.1, 0.1, 0.1)),
    Figure("excess_flips", "max", (1.5, 1.5, 1.5), "percent", least=1.0),
    Figure("drift", "max", (1.15, 1.15, 1.15)),
    Figure("layers_over_floor", "max", (1.1, 1.1, 1.1)),
)
WORST_FIGURES = (
    Figure("worst_positions", "max", (None, None, None)),
    Figure("worst_logits", "max", (None, None, None)),
    Figure("worst_prompts", "max", (None, None, None)),
    Figure("unlikely_flips", "max", (None, None, None)),
)
"""Judged by their chance alone, which follows from how the floor's own errors scatter."""
FALSE_ALARMS = 0.01
"""Of a whole run: the chance that any calibrated gate fails a model that computes as its reference does."""
FIGURES = {
    figure.name: figure
    for figure in (
        *AGREEMENT_FIGURES,
        *CLOSENESS_FIGURES,
        *LAYER_FIGURES,
        *QUANTISATION_FIGURES,
        VARIANT_SPREAD,
        *NOISE_FIGURES,
    )
}
SHOWN = FIGURES | {figure.name: figure for figure in WORST_FIGURES}
"""Figures, and the gates that no limit can be given for, for their titles."""
