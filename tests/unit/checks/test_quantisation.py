"""What quantisation costs by itself, and a floor that is quantised as the candidate is."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.errors import TraceError
from npu_conformance.measure.floor import load_quantised
from npu_conformance.measure.reference_runs import FLOOR, QUANTISED
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.small_traces import write_floor


def quantised(scene: Scene, scale: float, **config: Any) -> Evidence:
    """Evidence on a candidate whose codes, computed exactly, have rows off by so much of each row's size."""
    reference, random = load_trace(scene.folder / "reference"), np.random.default_rng(1)
    rows = []
    for index in range(len(reference.answers)):
        exact = reference.logits(index)
        size = np.sqrt(np.square(exact).mean(axis=1, keepdims=True))
        rows.append((exact + scale * size * random.normal(size=exact.shape)).astype(np.float32))
    # Measured as a floor run is, and kept in a folder of its own.
    write_floor(scene.folder, "float32", rows)
    (scene.folder / QUANTISED).mkdir()
    (scene.folder / FLOOR / "float32.npz").rename(scene.folder / QUANTISED / "float32.npz")
    found = dataclasses.replace(scene.evidence(), quantised=load_quantised(scene.folder))
    return dataclasses.replace(found, config=scene.config.model_copy(update=config))


def verdicts(evidence: Evidence) -> dict[str, str]:
    """By metric."""
    return {one.metric: one.verdict for one in CHECKS["quantisation_cost"].judge(evidence)}


def test_a_cost_within_the_schemes_limits_passes(scene: Scene) -> None:
    """A hundredth of a row's size is what int8 costs."""
    assert set(verdicts(quantised(scene, 0.01, scheme="w8a8")).values()) == {"pass"}


def test_a_scale_that_is_wrong_in_the_checkpoint_fails(scene: Scene) -> None:
    """However well the engine computes with it: nothing else of the run changed."""
    evidence = quantised(scene, 0.2, scheme="w8a8")

    found = verdicts(evidence)

    assert found["quantisation_l2_mean"] == "fail"
    assert {one.verdict for one in CHECKS["error_over_floor"].judge(evidence)} == {"pass"}


def test_without_a_scheme_it_is_a_number(scene: Scene) -> None:
    """Of a model that has no original here."""
    assert set(verdicts(quantised(scene, 0.2)).values()) == {"shown"}


def test_logits_that_are_not_finite_are_an_error(scene: Scene) -> None:
    """And no cost."""
    (result,) = CHECKS["quantisation_cost"].judge(quantised(scene, float("nan"), scheme="w8a8"))

    assert result.verdict == "error"


@pytest.mark.parametrize(("config", "why"), [({}, "does not ask for"), ({"scheme": "w4a8"}, "codes of w4a8 in this")])
def test_without_such_a_run_it_is_not_applicable(scene: Scene, config: dict[str, Any], why: str) -> None:
    """With the reason."""
    evidence = dataclasses.replace(scene.evidence(), config=scene.config.model_copy(update=config))
    (result,) = CHECKS["quantisation_cost"].judge(evidence)

    assert result.verdict == "not_applicable"
    assert why in (result.message or "")


def test_a_floor_quantised_likewise_is_the_candidates(scene: Scene) -> None:
    """Gates judge by it, ties are its own, and each flip has to be explained; by a plain floor none of that is."""
    own = quantised(scene, 0.01, scheme="w8a8")
    plain = dataclasses.replace(own, quantised=None)

    assert own.no_floor is None
    assert plain.no_floor == "the floor is that of plain weights, the candidate's are w8a8"
    assert isinstance(plain.tie_width(plain.pair), float)
    assert isinstance(own.tie_width(own.pair), np.ndarray)
    for evidence, judged in ((own, "pass"), (plain, "not_applicable")):
        (flips,) = CHECKS["unlikely_flips"].judge(evidence)
        assert flips.verdict == judged


def test_two_runs_that_quantise_anew_may_differ_as_the_scheme_allows(scene: Scene) -> None:
    """The dtype's limits hold between runs that only round."""
    of_base = quantised(scene, 0.01, scheme="w8a8")
    forced = scene.forced("chunked_prefill", enable_chunked_prefill=True)
    own = dataclasses.replace(forced, config=of_base.config, quantised=of_base.quantised)
    plain = dataclasses.replace(own, quantised=None)

    limits = [
        {one.limit for one in CHECKS["variant_closeness"].judge(evidence) if one.metric == "relative_l2_mean"}
        for evidence in (own, plain)
    ]

    assert limits == [{0.05}, {0.02}]


def test_a_run_that_is_the_reference_bit_for_bit_is_refused(scene: Scene) -> None:
    """Quantisation that changes nothing was not done."""
    with pytest.raises(TraceError, match=r"quantised/float32\.npz: is the reference bit for bit"):
        quantised(scene, 0.0)
