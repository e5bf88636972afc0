"""Base judged again from the data of a hand-in, by the same checks that judged the run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.audit.scan import Scan
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.pair import Pair
from npu_conformance.commands.hand_in.data import HandedData, StoredDeviations
from npu_conformance.config.limits import NOISE_FIGURES
from npu_conformance.config.model import ModelConfig
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.deviations import Deviations, sets_of
from npu_conformance.measure.kernel import RUNNERS_UP
from npu_conformance.measure.noise import LAYERS, Family, family
from npu_conformance.measure.results import Result
from npu_conformance.traces.trace import Answer, Trace

_OF_ANSWERS = (
    "token_agreement", "logits_closeness", "labels", "expected_substrings", "output_format", "repetition",
)  # fmt: skip
JUDGED_AGAIN = tuple(name for name, one in CHECKS.items() if name != LAYERS and (name in _OF_ANSWERS or one.calibrated))
"""Checks whose figures follow from the data."""


def judge_again(evidence: Evidence) -> list[Result]:
    """What the checks of `JUDGED_AGAIN` find in the data of a hand-in (see `evidence_of`)."""
    return [result for name in JUDGED_AGAIN for result in CHECKS[name].judge(evidence)]


@dataclass(frozen=True)
class _Handed(Evidence):
    """Evidence that was measured already."""

    given: Comparison | None = None
    given_prefill: Deviations | None = None
    given_floor: dict[str, Deviations] | None = None
    given_routed: bool = False
    given_quantised: bool = False
    layers_p: float | None = None

    @cached_property
    def pair(self) -> Pair:
        """Candidate against reference."""
        return Pair(self.candidate, self.reference, self.reference, found=self.given)

    @cached_property
    def prefill(self) -> Pair | None:
        """Of which only the errors are known."""
        return None

    @cached_property
    def floor(self) -> dict[str, Deviations]:
        """As the run measured it."""
        return self.given_floor or {}

    @property
    def routed(self) -> bool:
        """As the engine said."""
        return self.given_routed

    @property
    def plain_floor(self) -> bool:
        """Whether the floor was of other weights than a quantised candidate's."""
        return self.config.scheme is not None and not self.given_quantised

    @cached_property
    def calibrated(self) -> Family:
        """The tests with one rate of false alarms; of the layers' only the p-value is known."""
        limits = {figure.name: self.config.limit(figure.name) or float("nan") for figure in NOISE_FIGURES}
        known = () if self.layers_p is None else (self.layers_p,)
        return family(self.deviations, self.given_prefill, self.floor, limits, self.false_alarms, known=known)


def evidence_of(data: HandedData, config: ModelConfig, published: Sequence[Result]) -> Evidence:
    """Base's evidence, as far as a hand-in has it.

    Args:
        data: of the hand-in.
        config: of the model, for its limits.
        published: base's results, for the p-value of the layers' test, whose data the hand-in does not have.
    """
    layers_p = next((one.p_value for one in published if one.check == LAYERS and one.p_value is not None), None)
    candidate, reference = (_trace(data, side) for side in ("candidate", "reference"))
    return _Handed(
        variant="base",
        config=config,
        prompts=data.asked,
        candidate=candidate,
        reference=reference,
        scan=Scan(findings=(), tensors=()),
        false_alarms=data.false_alarms,
        given=comparison_of_data(data),
        given_prefill=_prefill(data),
        given_floor={name: _deviations(data, one) for name, one in data.floor.items()},
        given_routed=data.routed,
        given_quantised=data.quantised,
        layers_p=layers_p,
    )


def comparison_of_data(data: HandedData) -> Comparison:
    """Candidate against reference, as the run compared them."""
    n = data.bounds[-1]
    return Comparison(
        prompts=tuple(prompt.id for prompt in data.prompts),
        bounds=data.bounds,
        tokens=data.tokens,
        choices=data.exact.choices,
        equal=np.zeros(n, dtype=bool),
        finite=np.ones(n, dtype=bool),
        reference_finite=np.ones(n, dtype=bool),
        token_logits=data.token_logits.array().astype(np.float64),
        reference_rms=data.sizes,
        own_shortfall=data.own_shortfall.array().astype(np.float64),
        values=data.metrics,
        deviations=_deviations(data, data.deviations, flipped=data.candidate_run.choices != data.exact.choices),
        unrepeated=(0,) * len(data.prompts),
    )


def _deviations(data: HandedData, one: StoredDeviations, flipped: np.ndarray | None = None) -> Deviations:
    n = data.bounds[-1]
    margin = np.full((n, RUNNERS_UP), np.nan)
    log_probs = data.exact.log_probs[:, : RUNNERS_UP + 1]
    margin[:, : log_probs.shape[1] - 1] = (log_probs[:, :1] - log_probs[:, 1:]) / data.sizes[:, None]
    parts: dict[str, Any] = {
        name: getattr(one, name).array().astype(np.float64) for name in ("row", "logit", "gain", "difference")
    }
    return Deviations(
        data.bounds,
        **parts,
        flipped=np.zeros(n, dtype=bool) if flipped is None else flipped,
        margin=margin,
        sets=sets_of([prompt.id for prompt in data.prompts]),
        routed=data.routed,
    )


def _prefill(data: HandedData) -> Deviations | None:
    """Of the prefill path only the sizes of errors are kept: its test asks no more."""
    if data.prefill_row is None:
        return None
    row = data.prefill_row.array().astype(np.float64)
    return replace(_deviations(data, data.deviations), row=row)


def _trace(data: HandedData, side: str) -> Trace:
    """Without rows, for what checks ask of a trace besides."""
    spans = pairwise(data.bounds)
    answers = tuple(
        Answer(prompt.id, tuple(prompt.prompt_ids.array().tolist()), tuple(data.tokens[start:end].tolist()), text)
        for prompt, (start, end), text in zip(data.prompts, spans, _texts(data, side), strict=True)
    )
    forced = side == "reference"
    return Trace(Path(side), answers, data.eos_token_ids, {"engine": "vllm"}, data.pieces, forced=forced)


def _texts(data: HandedData, side: str) -> Sequence[str]:
    return data.reference.texts if side == "reference" else [prompt.text for prompt in data.prompts]
